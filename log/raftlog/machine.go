package raftlog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
)

// machine is the state machine as raft sees it. Raft calls it from one goroutine, but for Persist. Once the
// machine has failed nothing more reaches it: no command, no snapshot, no restore.
type machine[R any] struct {
	// Set by newMachine, read-only after.
	sm   log.StateMachine[R]
	fail func(error) // called once, must not wait

	mu      sync.Mutex
	applied uint64        // last entry that carried a command
	reached uint64        // every command up to here is applied
	grown   uint64        // bytes of commands since the last snapshot
	size    uint64        // bytes of the last snapshot
	moved   chan struct{} // closed at the next change of the above; nil while nobody waits
	err     error         // why nothing reaches the machine any more
}

// outcome is what raft carries back from Apply to Propose.
type outcome[R any] struct {
	result R
	err    error
}

// Apply implements raft.FSM.
func (m *machine[R]) Apply(entry *raft.Log) any {
	if err := m.failed(); err != nil {
		return outcome[R]{err: err}
	}
	result, err := m.apply(entry)
	if err != nil {
		err = fmt.Errorf("%w before the command at index %d: %w", log.ErrHalted, entry.Index, err)
		m.halt(err)
		return outcome[R]{err: err}
	}
	m.change(func() {
		m.applied, m.reached = entry.Index, entry.Index
		m.grown += uint64(len(entry.Data))
	})
	return outcome[R]{result: result}
}

// apply turns a panic of the machine into an error, for it would otherwise take every member down in turn.
func (m *machine[R]) apply(entry *raft.Log) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the machine panicked: %v", p)
		}
	}()
	return m.sm.Apply(entry.Index, entry.Data)
}

// StoreConfiguration implements raft.ConfigurationStore. Without it a snapshot right after a change of
// members would fail, because raft would not count the change as applied.
func (m *machine[R]) StoreConfiguration(index uint64, _ raft.Configuration) {
	if m.failed() == nil {
		m.change(func() { m.reached = index })
	}
}

// Snapshot implements raft.FSM.
func (m *machine[R]) Snapshot() (raft.FSMSnapshot, error) {
	if err := m.failed(); err != nil {
		return nil, err
	}
	state, err := m.sm.Snapshot()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	covers := m.grown
	written := func(size uint64) {
		m.change(func() { m.size, m.grown = size, m.grown-min(covers, m.grown) })
	}
	return &image{applied: m.applied, state: state, written: written, busy: m.stirring()}, nil
}

// stirring tells, each time that it is asked, whether a command was applied since the time before.
func (m *machine[R]) stirring() func() bool {
	var seen uint64
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		stirred := m.applied != seen
		seen = m.applied
		return stirred
	}
}

// Restore implements raft.FSM.
func (m *machine[R]) Restore(r io.ReadCloser) error {
	if err := m.failed(); err != nil {
		return err
	}
	counted := &counter{r: r}
	applied, body, err := OpenSnapshot(counted)
	if err == nil {
		err = m.sm.Restore(body)
	}
	if err != nil {
		err = fmt.Errorf("%w: restore a snapshot: %w", log.ErrHalted, err)
		m.halt(err)
		return err
	}
	m.change(func() { m.applied, m.reached, m.size, m.grown = applied, applied, counted.n, 0 })
	return nil
}

// halt lets nothing reach the machine any more.
func (m *machine[R]) halt(err error) {
	m.change(func() { m.err = err })
	m.fail(err)
}

func (m *machine[R]) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// change does f and wakes who waits for it.
func (m *machine[R]) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// passed notes that raft has seen the machine go by index, an entry that carried no command.
func (m *machine[R]) passed(index uint64) {
	m.change(func() { m.reached = max(m.reached, index) })
}

// await returns the last command's index once every command up to index is applied.
func (m *machine[R]) await(ctx context.Context, index uint64) (applied uint64, err error) {
	err = m.until(ctx, func() bool { return m.reached >= index })
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied, err
}

// awaitGrowth returns once a snapshot is due: commands of more than limit bytes and of more than half the last
// snapshot's size have come since. Replaying a command takes longer than reading its record from a snapshot.
func (m *machine[R]) awaitGrowth(ctx context.Context, limit uint64) error {
	return m.until(ctx, func() bool { return m.grown > max(limit, m.size/2) })
}

// until waits for a condition over what mu guards, or for ctx.
func (m *machine[R]) until(ctx context.Context, condition func() bool) error {
	for {
		m.mu.Lock()
		if condition() {
			m.mu.Unlock()
			return nil
		}
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		moved := m.moved
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A snapshot in raft's file is this header and then what the machine wrote. Raft knows the index of the last
// entry, but not of the last that carried a command.
const snapshotMagic = "raftlog\x01"

// OpenSnapshot reads the header of a snapshot as it is in the snapshot store, and returns the index of the
// last command in it and the machine's own bytes.
func OpenSnapshot(r io.Reader) (applied uint64, state io.Reader, err error) {
	var header [len(snapshotMagic) + 8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, fmt.Errorf("snapshot header: %w", err)
	}
	if string(header[:len(snapshotMagic)]) != snapshotMagic {
		return 0, nil, errors.New("snapshot header: not one that this program writes")
	}
	return binary.BigEndian.Uint64(header[len(snapshotMagic):]), r, nil
}

// image is a snapshot that is being written.
type image struct {
	applied uint64
	state   io.WriterTo
	written func(size uint64) // called once it is on disk
	busy    func() bool       // whether commands are being applied meanwhile
}

// Persist implements raft.FSMSnapshot, in a goroutine of its own.
func (i *image) Persist(sink raft.SnapshotSink) error {
	counted := &counter{w: sink}
	if err := i.write(counted); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	i.written(counted.n)
	return nil
}

func (i *image) write(sink io.Writer) error {
	w := bufio.NewWriterSize(&resting{to: sink, busy: i.busy, since: time.Now()}, sliceSize)
	w.WriteString(snapshotMagic) // bufio keeps the error for Flush
	w.Write(binary.BigEndian.AppendUint64(nil, i.applied))
	if _, err := i.state.WriteTo(w); err != nil {
		return err
	}
	return w.Flush()
}

// sliceSize bytes of a snapshot take one to two milliseconds to make.
const sliceSize = 1 << 18

// resting rests after each slice, while it is busy elsewhere, for as long as the slice took: a large state would otherwise
// keep a processor and the disk from those who write for seconds.
type resting struct {
	to    io.Writer
	busy  func() bool
	since time.Time
}

func (r *resting) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	if r.busy() {
		time.Sleep(time.Since(r.since))
	}
	r.since = time.Now()
	return n, err
}

// Release implements raft.FSMSnapshot.
func (i *image) Release() {}

// counter counts what passes.
type counter struct {
	r io.Reader
	w io.Writer
	n uint64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	return n, err
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	return n, err
}
