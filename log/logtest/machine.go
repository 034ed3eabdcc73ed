package logtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/registrard/registrard/log"
)

// Result is what the Machine answers to a command.
type Result struct {
	Index   uint64
	Refused bool // the command began with "refuse"
}

// Entry is a command as the Machine saw it.
type Entry struct {
	Index   uint64
	Command string
}

// Machine writes commands down. It refuses those that begin with "refuse", notes every breach of the
// contract by its caller, and fails or stands still on demand. Make one with NewMachine.
type Machine struct {
	busy atomic.Bool // a call is running

	mu       sync.Mutex
	entries  []Entry
	last     uint64
	fail     func(command string) bool
	hold     chan struct{} // Apply waits while it is not nil and open
	held     chan struct{} // closed when Apply has begun to wait
	breaches []string
	restored int
}

var _ log.StateMachine[Result] = (*Machine)(nil)

// NewMachine returns an empty one.
func NewMachine() *Machine { return &Machine{} }

var errFailed = errors.New("machine failed as the test asked")

// enter notes calls that overlap.
func (m *Machine) enter(what string) func() {
	if !m.busy.CompareAndSwap(false, true) {
		m.breach("%s while another call was running", what)
		return func() {}
	}
	return func() { m.busy.Store(false) }
}

func (m *Machine) breach(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.breaches = append(m.breaches, fmt.Sprintf(format, args...))
}

// Apply implements log.StateMachine.
func (m *Machine) Apply(index uint64, command []byte) (Result, error) {
	defer m.enter("Apply")()
	m.wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.last {
		m.breaches = append(m.breaches, fmt.Sprintf("Apply of index %d after %d", index, m.last))
	}
	if m.fail != nil && m.fail(string(command)) {
		return Result{}, errFailed
	}
	m.last = index
	if strings.HasPrefix(string(command), "refuse") {
		return Result{Index: index, Refused: true}, nil
	}
	m.entries = append(m.entries, Entry{Index: index, Command: string(command)})
	return Result{Index: index}, nil
}

func (m *Machine) wait() {
	m.mu.Lock()
	hold, held := m.hold, m.held
	m.held = nil
	m.mu.Unlock()
	if held != nil {
		close(held)
	}
	if hold != nil {
		<-hold
	}
}

type saved struct {
	Last    uint64
	Entries []Entry
}

// Snapshot implements log.StateMachine.
func (m *Machine) Snapshot() (io.WriterTo, error) {
	defer m.enter("Snapshot")()
	m.mu.Lock()
	defer m.mu.Unlock()
	return saved{m.last, slices.Clone(m.entries)}, nil
}

// WriteTo implements io.WriterTo.
func (s saved) WriteTo(w io.Writer) (int64, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(data)
	return int64(n), err
}

// Restore implements log.StateMachine.
func (m *Machine) Restore(r io.Reader) error {
	defer m.enter("Restore")()
	var s saved
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.entries = s.Last, s.Entries
	m.restored++
	return nil
}

// FailOn makes Apply fail for commands that match; nil heals it.
func (m *Machine) FailOn(match func(command string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = match
}

// Hold makes Apply stand still. held is closed once it does; release lets it go on, for good.
func (m *Machine) Hold() (held <-chan struct{}, release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stop, waits := make(chan struct{}), make(chan struct{})
	m.hold, m.held = stop, waits
	return waits, sync.OnceFunc(func() {
		m.mu.Lock()
		m.hold, m.held = nil, nil
		m.mu.Unlock()
		close(stop)
	})
}

// Entries is what was applied and not refused, in order.
func (m *Machine) Entries() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

// Restored counts the snapshots read.
func (m *Machine) Restored() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restored
}

// Breaches is what the log did to the machine that it must not do.
func (m *Machine) Breaches() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.breaches)
}
