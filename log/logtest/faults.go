package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
)

// A context that has ended before the call is a "no". One that ends while the machine stands still is a
// "perhaps" for the proposal that was handed over, and ends a ReadIndex that waits for it.
func contexts(t *testing.T, b Backend) {
	n := start(t, b)
	want := n.fill("before", 1)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Propose(ended, []byte("never")); err == nil || errors.Is(err, log.ErrUncertain) {
		t.Errorf("propose under an ended context: got %v, want a plain no", err)
	}

	held, release := n.machine.Hold()
	defer release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := n.Propose(ctx, []byte("perhaps"))
		answer <- err
	}()
	await(t, "the machine is reached", held)
	cancel()
	wantErr(t, "propose", <-answer, log.ErrUncertain)

	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := n.ReadIndex(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read index behind a machine that stands still: got %v, want the context's error", err)
	}
	release()

	after := n.fill("after", 1)
	got := n.machine.Entries()
	if len(got) != 3 || got[0] != want[0] || got[1].Command != "perhaps" || got[2] != after[0] {
		t.Errorf("the machine holds %v, want before, perhaps, after", got)
	}
}

// The command on which the machine fails is in the log, so its answer is "perhaps"; nothing after it
// happens, no snapshot is taken, and every reopening comes to the same point until the machine is mended.
func halt(t *testing.T, b Backend) {
	n := start(t, b)
	want := n.fill("before", 5)
	reign := n.lead()
	poison := func(command string) bool { return command == "poison" }
	n.machine.FailOn(poison)
	_, err := n.try("poison")
	wantErr(t, "propose of the command that fails", err, log.ErrUncertain)
	halted := func() {
		t.Helper()
		await(t, "Done", n.Done())
		if !errors.Is(n.Err(), log.ErrHalted) || !errors.Is(n.Err(), errFailed) {
			t.Errorf("halted because of %v, want ErrHalted and the machine's own error", n.Err())
		}
		_, err := n.try("later")
		wantErr(t, "propose after the halt", err, log.ErrHalted)
		_, err = n.Lead(context.Background())
		wantErr(t, "lead after the halt", err, log.ErrHalted)
		_, err = n.ReadIndex(context.Background())
		wantErr(t, "read index after the halt", err, log.ErrHalted)
		wantErr(t, "snapshot after the halt", n.Snapshot(context.Background()), log.ErrHalted)
		n.holds(want)
	}
	halted()
	await(t, "the end of the reign", reign.Done())
	wantErr(t, "the cause of the reign's end", context.Cause(reign), log.ErrHalted)
	n.stop()
	if !errors.Is(n.Err(), log.ErrHalted) {
		t.Errorf("closed after a halt: Err is %v, want the halt", n.Err())
	}

	again := NewMachine()
	again.FailOn(poison)
	l, err := n.open(again)
	if err == nil {
		n.machine, n.Log = again, l
		halted()
		n.stop()
	} else { // the log came to the command before it was open
		wantErr(t, "open with a machine that fails", err, log.ErrHalted)
	}

	n.reopen()
	got := n.machine.Entries()
	if len(got) != len(want)+1 || got[len(want)].Command != "poison" {
		t.Errorf("the mended machine holds %v, want what was before and the command that failed", got)
	}
}

func closing(t *testing.T, b Backend) {
	n := start(t, b)
	n.fill("c", 1)
	reign := n.lead()
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			if err := n.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	running.Wait()
	await(t, "the end of the reign", reign.Done())
	await(t, "Done", n.Done())
	wantErr(t, "the cause of the reign's end", context.Cause(reign), log.ErrClosed)
	if err := n.Err(); err != nil {
		t.Errorf("Err after a Close is %v, want nil", err)
	}
	_, err := n.try("late")
	wantErr(t, "propose", err, log.ErrClosed)
	_, err = n.Lead(context.Background())
	wantErr(t, "lead", err, log.ErrClosed)
	_, err = n.ReadIndex(context.Background())
	wantErr(t, "read index", err, log.ErrClosed)
	wantErr(t, "snapshot", n.Snapshot(context.Background()), log.ErrClosed)
	n.Status() // must not panic
}

// A reign that was lost ends with a cause, and what is proposed until the next one is refused.
func outsideReign(t *testing.T, b Backend) {
	if b.LoseReign == nil {
		t.Skip("this backend cannot lose a reign on demand")
	}
	n := start(t, b)
	n.fill("before", 3)
	reign := n.lead()
	b.LoseReign(t, n.Log)
	await(t, "the end of the reign", reign.Done())
	wantErr(t, "the cause of the reign's end", context.Cause(reign), log.ErrNotLeader)
	said := make(map[string]error)
	for i := range 5 {
		command := fmt.Sprintf("between-%d", i)
		_, said[command] = n.try(command)
	}
	n.lead()
	n.propose("after")
	n.stop()
	n.reopen()
	checkTruth(t, n.machine.Entries(), said)
	for command, err := range said {
		if err != nil && !errors.Is(err, log.ErrUncertain) {
			wantErr(t, "propose "+command, err, log.ErrNotLeader)
		}
	}
}

func lostReply(t *testing.T, b Backend) {
	if b.LoseReply == nil {
		t.Skip("this backend cannot lose a reply on demand")
	}
	n := start(t, b)
	n.fill("before", 3)
	b.LoseReply(t, n.Log)
	_, err := n.try("lost")
	wantErr(t, "propose", err, log.ErrUncertain)
	n.lead()
	n.propose("after")
	n.stop()
	n.reopen()
	count := 0
	for _, e := range n.machine.Entries() {
		if e.Command == "lost" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the command whose reply was lost is there %d times, want once", count)
	}
}

func crash(t *testing.T, b Backend) {
	if b.Crash == nil {
		t.Skip("this backend cannot crash on demand")
	}
	n := start(t, b)
	want := n.fill("before", 10)
	n.snapshot()
	want = append(want, n.fill("after", 10)...)
	b.Crash(t, n.Log)
	n.reopen()
	n.holds(want)
	want = append(want, n.fill("again", 3)...)
	n.holds(want)
}

// Proposers run while reigns are lost, contexts end early and snapshots are taken. Afterwards the log, read
// again from storage, must agree with every answer.
func truth(t *testing.T, b Backend) {
	n := start(t, b)
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		said    = make(map[string]error)
	)
	for p := range 4 {
		running.Go(func() {
			for i := range 50 {
				command := fmt.Sprintf("p%d-%d", p, i)
				timeout := patience
				if i%7 == p {
					timeout = time.Duration(i) * 10 * time.Microsecond
				}
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				_, err := n.Propose(ctx, []byte(command))
				cancel()
				mu.Lock()
				said[command] = err
				mu.Unlock()
				if errors.Is(err, log.ErrNotLeader) {
					n.lead()
				}
			}
		})
	}
	for range 3 {
		n.snapshot()
		if b.LoseReign != nil {
			b.LoseReign(t, n.Log)
		}
		n.lead()
	}
	running.Wait()
	n.lead()
	n.propose("last")
	n.stop()
	n.reopen()
	checkTruth(t, n.machine.Entries(), said)
}

// checkTruth holds answers, nil for an acknowledgement, against what is in the log.
func checkTruth(t testing.TB, entries []Entry, said map[string]error) {
	t.Helper()
	times := make(map[string]int)
	for _, e := range entries {
		times[e.Command]++
	}
	for command, err := range said {
		switch count := times[command]; {
		case count > 1:
			t.Errorf("%q was applied %d times", command, count)
		case err == nil && count == 0:
			t.Errorf("%q was acknowledged and is not there", command)
		case err != nil && !errors.Is(err, log.ErrUncertain) && count > 0:
			t.Errorf("%q was answered with a no (%v) and is there", command, err)
		}
	}
}
