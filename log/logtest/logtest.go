package logtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/registrard/registrard/log"
)

// Backend is what is tested.
type Backend struct {
	// Storage makes fresh storage, for one node that can lead by itself, and returns how to open a Log on
	// it. It is opened again only after the Log before was closed or crashed. Required.
	Storage func(t testing.TB) (open func(m log.StateMachine[Result]) (log.Log[Result], error))
	// LoseReign ends the present reign, wherever it is, and lets another begin soon.
	LoseReign func(t testing.TB, l log.Log[Result])
	// LoseReply makes the next proposal become part of the log and its answer get lost.
	LoseReply func(t testing.TB, l log.Log[Result])
	// Crash stops the log as the end of its process would: nothing more is written, nothing is tidied up.
	Crash func(t testing.TB, l log.Log[Result])
	// TooLarge is a size in bytes that no command may have; 0 where there is no limit.
	TooLarge int
	// Lingers names functions in which goroutines of a library wait, that end by themselves some time after a Close.
	Lingers []string
}

// patience bounds every wait: long enough for a busy machine, and only ever waited for by a failing test.
const patience = 30 * time.Second

// Run runs the suite. Its tests run one after the other and no goroutine may outlive them, so the caller
// must not run beside parallel tests.
func Run(t *testing.T, b Backend) {
	t.Helper()
	leaks := []goleak.Option{goleak.IgnoreCurrent()}
	for _, f := range b.Lingers {
		leaks = append(leaks, goleak.IgnoreTopFunction(f))
	}
	defer goleak.VerifyNone(t, leaks...)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b Backend)
	}{
		{"commands are applied once, in order, at rising indexes", appliedInOrder},
		{"a refusal is a result", refusal},
		{"status follows the log", status},
		{"concurrent proposers each get their own answer", concurrent},
		{"ReadIndex sees everything acknowledged", readIndex},
		{"reopening reaches the same state", reopen},
		{"a snapshot changes nothing and a reopen restores it", snapshot},
		{"snapshots are taken while commands go on", snapshotUnderWay},
		{"contexts that end are honoured", contexts},
		{"a command too large is refused", tooLarge},
		{"a failing machine halts the log before the command", halt},
		{"Close is idempotent and final", closing},
		{"nothing is accepted outside a reign", outsideReign},
		{"a lost reply is uncertain and the command is there", lostReply},
		{"what was acknowledged survives a crash", crash},
		{"no is never found, yes always, at most once", truth},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

// node is a Log under test with its machine.
type node struct {
	t       testing.TB
	open    func(m log.StateMachine[Result]) (log.Log[Result], error)
	machine *Machine
	log.Log[Result]
}

// start opens fresh storage and waits for the reign.
func start(t testing.TB, b Backend) *node {
	t.Helper()
	n := &node{t: t, open: b.Storage(t)}
	n.reopen()
	t.Cleanup(func() { n.stop() })
	return n
}

// reopen opens the storage with an empty machine and waits for the reign.
func (n *node) reopen() {
	n.t.Helper()
	n.openOnly(NewMachine())
	n.lead()
}

func (n *node) openOnly(m *Machine) {
	n.t.Helper()
	l, err := n.open(m)
	if err != nil {
		n.t.Fatalf("open: %v", err)
	}
	n.machine, n.Log = m, l
}

// stop closes the log and reports what it did to its machine.
func (n *node) stop() {
	n.t.Helper()
	if err := n.Close(); err != nil {
		n.t.Errorf("close: %v", err)
	}
	for _, breach := range n.machine.Breaches() {
		n.t.Errorf("the log broke the machine's contract: %s", breach)
	}
}

func (n *node) lead() context.Context {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reign, err := n.Lead(ctx)
	if err != nil {
		n.t.Fatalf("lead: %v", err)
	}
	return reign
}

// propose proposes a command that must be acknowledged.
func (n *node) propose(command string) Result {
	n.t.Helper()
	r, err := n.try(command)
	if err != nil {
		n.t.Fatalf("propose %q: %v", command, err)
	}
	return r
}

func (n *node) try(command string) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.Propose(ctx, []byte(command))
}

// fill proposes count commands and returns what the machine should hold for them.
func (n *node) fill(prefix string, count int) []Entry {
	n.t.Helper()
	var want []Entry
	for i := range count {
		command := fmt.Sprintf("%s-%d", prefix, i)
		want = append(want, Entry{n.propose(command).Index, command})
	}
	return want
}

func (n *node) snapshot() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Snapshot(ctx); err != nil {
		n.t.Fatalf("snapshot: %v", err)
	}
}

// holds checks that the machine holds exactly want.
func (n *node) holds(want []Entry) {
	n.t.Helper()
	if got := n.machine.Entries(); !slices.Equal(got, want) {
		n.t.Fatalf("the machine holds\n%v\nwant\n%v", got, want)
	}
}

// wantErr checks err against the one wanted, and that it says "no" unless that is ErrUncertain.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if want != log.ErrUncertain && errors.Is(err, log.ErrUncertain) {
		t.Errorf("%s: %v says perhaps, want a plain no", what, err)
	}
}

// await waits for a channel to be closed.
func await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: still not after %v", what, patience)
	}
}
