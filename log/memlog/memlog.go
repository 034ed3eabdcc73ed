package memlog

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/registrard/registrard/log"
)

// Config says how to open a Log. The zero value is a new log of one node.
type Config struct {
	// ID names the node within its Storage. Default "memory".
	ID string
	// Storage holds the log. Default a new, empty one.
	Storage *Storage
	// SnapshotBytes of commands since the last snapshot, and more than that snapshot's own size, make a
	// new one. Default 64 MiB. Smaller costs snapshots, larger costs memory.
	SnapshotBytes uint64
	// MaxCommand is the largest command, in bytes. Default 64 MiB.
	MaxCommand int
}

func (c Config) withDefaults() Config {
	c.ID = cmp.Or(c.ID, "memory")
	c.SnapshotBytes = cmp.Or(c.SnapshotBytes, 64<<20)
	c.MaxCommand = cmp.Or(c.MaxCommand, 64<<20)
	c.Storage = cmp.Or(c.Storage, new(Storage))
	return c
}

// Log is one node of a log in memory. It implements log.Log. Its mutex may be held while the Storage's is
// taken, never the other way round.
type Log[R any] struct {
	// Set by Open, read-only after.
	cfg     Config
	storage *Storage
	stop    context.Context // ends the goroutines
	cancel  context.CancelFunc
	running sync.WaitGroup
	turn    chan struct{} // has room for one: proposals are appended in the order in which they get in

	caughtUp atomic.Bool // as Status has it

	fate atomic.Pointer[func(context.Context, []byte) Fate]

	machineMu sync.Mutex // held around every call of the machine, so that a snapshot falls between commands
	machine   log.StateMachine[R]

	mu       sync.Mutex
	position position                   // what this node has consumed
	moved    chan struct{}              // closed and replaced when position grows
	waiting  map[uint64]chan<- reply[R] // proposals by index; each channel has room for its reply
	err      error                      // why done is closed, nil for Close
	done     chan struct{}
}

type reply[R any] struct {
	result R
	err    error
}

// Open adds a node to the log in cfg.Storage and restores m from its snapshot, if there is one. It fails if
// the node is open already or m refuses the snapshot.
func Open[R any](cfg Config, m log.StateMachine[R]) (*Log[R], error) {
	cfg = cfg.withDefaults()
	l := &Log[R]{
		cfg:     cfg,
		storage: cfg.Storage,
		turn:    make(chan struct{}, 1),
		machine: m,
		moved:   make(chan struct{}),
		waiting: make(map[uint64]chan<- reply[R]),
		done:    make(chan struct{}),
	}
	if s := l.storage.after(0).snapshot; s.at.entry > 0 {
		if err := m.Restore(bytes.NewReader(s.data)); err != nil {
			return nil, fmt.Errorf("restore the snapshot at index %d: %w", s.at.entry, err)
		}
		l.position = s.at
	}
	if err := l.storage.join(cfg.ID); err != nil {
		return nil, err
	}
	l.stop, l.cancel = context.WithCancel(context.Background())
	l.running.Go(l.apply)
	l.running.Go(l.keep)
	return l, nil
}

// Lead implements log.Log.
func (l *Log[R]) Lead(ctx context.Context) (context.Context, error) {
	for {
		reign, start, changed := l.storage.reignOf(l.cfg.ID)
		if reign != nil {
			if err := l.await(ctx, start); err != nil {
				return nil, err
			}
			if reign.Err() == nil {
				return reign, nil
			}
			continue
		}
		select {
		case <-changed:
		case <-l.done:
			return nil, l.reason()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ReadIndex implements log.Log.
func (l *Log[R]) ReadIndex(ctx context.Context) (uint64, error) {
	if err := l.reason(); err != nil {
		return 0, err
	}
	last, err := l.storage.lastFor(l.cfg.ID)
	if err != nil {
		return 0, err
	}
	if err := l.await(ctx, last); err != nil {
		return 0, err
	}
	return l.at().command, nil
}

// Status implements log.Log. Everything stored is committed.
func (l *Log[R]) Status() log.Status {
	s := l.storage.status(l.cfg.ID)
	s.Applied = l.at().command
	if s.Leader != "" && s.Applied >= s.Commit {
		l.caughtUp.Store(true)
	}
	s.CaughtUp = l.caughtUp.Load()
	return s
}

// Snapshot implements log.Log.
func (l *Log[R]) Snapshot(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	l.machineMu.Lock()
	at, err := l.at(), l.reason()
	if err != nil {
		l.machineMu.Unlock()
		return err
	}
	w, err := l.machine.Snapshot()
	l.machineMu.Unlock()
	if err != nil {
		return fmt.Errorf("snapshot at index %d: %w", at.entry, err)
	}
	var data bytes.Buffer
	if _, err := w.WriteTo(&data); err != nil {
		return fmt.Errorf("write the snapshot at index %d: %w", at.entry, err)
	}
	l.storage.keep(snapshot{at: at, data: data.Bytes()})
	return nil
}

// Done implements log.Log.
func (l *Log[R]) Done() <-chan struct{} { return l.done }

// Err implements log.Log.
func (l *Log[R]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close implements log.Log. It must not be called from the machine.
func (l *Log[R]) Close() error {
	l.end(nil)
	l.running.Wait()
	return nil
}

// end closes done because of err, nil for a Close, ends the reign and answers whoever waits. Only the first
// call counts.
func (l *Log[R]) end(err error) {
	l.mu.Lock()
	select {
	case <-l.done:
		l.mu.Unlock()
		return
	default:
	}
	l.err = err
	close(l.done)
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()

	reason := l.reason()
	l.storage.leave(l.cfg.ID, reason)
	l.cancel()
	for _, answer := range waiting {
		answer <- reply[R]{err: fmt.Errorf("%w: %w", log.ErrUncertain, reason)}
	}
}

// reason is what to answer once the log has ended, and nil before.
func (l *Log[R]) reason() error {
	select {
	case <-l.done:
		if err := l.Err(); err != nil {
			return err
		}
		return log.ErrClosed
	default:
		return nil
	}
}

func (l *Log[R]) at() position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// await returns once the entry at index is consumed here.
func (l *Log[R]) await(ctx context.Context, index uint64) error {
	for {
		l.mu.Lock()
		reached, moved := l.position.entry >= index, l.moved
		l.mu.Unlock()
		if err := l.reason(); err != nil {
			return err
		}
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-l.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
