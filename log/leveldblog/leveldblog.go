package leveldblog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// Log is a log of one node. It implements log.Log.
type Log[R any] struct {
	// Set by Open, read-only after.
	cfg      Config
	identity identity
	lock     *os.File
	machine  log.StateMachine[R]
	reign    context.Context
	depose   context.CancelCauseFunc
	running  sync.WaitGroup
	done     chan struct{}
	arrived  chan struct{}   // has room for one: wakes work
	asked    chan chan error // callers of Snapshot

	// Of work, and of Open before it.
	store *store
	keep  keeper

	mu      sync.Mutex
	waiting []*proposal[R]
	last    uint64        // newest entry that was handed to the disk
	applied uint64        // entry that the machine has seen last
	moved   chan struct{} // closed at the next change of applied; nil while nobody waits
	ended   bool
	err     error
	closing sync.Once
	closed  error
}

// Open opens the log in cfg.Dir, or makes one where that is empty, and brings m, which must be empty, to where the
// log ends. The node leads from then on.
func Open[R any](cfg Config, m log.StateMachine[R]) (*Log[R], error) { return open(cfg, m, nil) }

func open[R any](cfg Config, m log.StateMachine[R], under storage.Storage) (_ *Log[R], err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log[R]{
		cfg:     cfg.withDefaults(),
		machine: m,
		done:    make(chan struct{}),
		arrived: make(chan struct{}, 1),
		asked:   make(chan chan error),
	}
	l.keep.written = make(chan snapshotOutcome, 1)
	l.reign, l.depose = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			l.depose(err)
			err = errors.Join(err, l.release())
		}
	}()
	if l.lock, err = disk.Claim(cfg.Dir); err != nil {
		return nil, err
	}
	if l.identity, err = identify(cfg.Dir, cfg.ID); err != nil {
		return nil, err
	}
	if l.store, err = openStore(cfg.Dir, !l.identity.Ready, under); err != nil {
		return nil, err
	}
	if !l.identity.Ready {
		l.identity.Ready = true
		if err := l.identity.write(cfg.Dir); err != nil {
			return nil, err
		}
	}
	if err := l.store.restore(func(r io.Reader) error { return m.Restore(r) }); err != nil {
		return nil, err
	}
	l.applied, l.last = l.store.snapshot.Index, l.store.last
	err = l.store.entries(func(index uint64, command []byte) error {
		if _, err := l.apply(index, command); err != nil {
			return err
		}
		l.keep.grown += uint64(len(command))
		return nil
	})
	if halted := l.reason(); halted != nil {
		err = nil // what there is may still be looked at
	}
	if err != nil {
		return nil, err
	}
	l.running.Go(l.work)
	return l, nil
}

// Lead implements log.Log.
func (l *Log[R]) Lead(ctx context.Context) (context.Context, error) {
	if err := l.reason(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return l.reign, nil
}

// ReadIndex implements log.Log. What was acknowledged is applied, since it is answered after that; waiting for all
// that was handed over besides keeps the promise simple.
func (l *Log[R]) ReadIndex(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	for {
		if err := l.reason(); err != nil {
			return 0, err
		}
		l.mu.Lock()
		if l.applied >= last {
			defer l.mu.Unlock()
			return l.applied, nil
		}
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-l.done:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// Status implements log.Log. What is stored is committed.
func (l *Log[R]) Status() log.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := log.Status{
		ID: l.cfg.ID, Cluster: l.identity.Cluster, Role: log.Leader, Leader: l.cfg.ID,
		Applied: l.applied, Commit: l.last, Last: l.last, CaughtUp: true,
	}
	if l.ended {
		s.Role, s.Leader = log.Follower, ""
	}
	return s
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
	l.closing.Do(func() {
		l.running.Wait()
		l.closed = l.release()
	})
	return l.closed
}

func (l *Log[R]) release() (err error) {
	if l.store != nil {
		err = l.store.close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// end ends the log because of err, nil for a Close. Only the first call counts. Proposals that wait did not happen and
// will not.
func (l *Log[R]) end(err error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended, l.err = true, err
	waiting := l.waiting
	l.waiting = nil
	close(l.done)
	l.mu.Unlock()
	reason := l.reason()
	l.depose(reason)
	for _, p := range waiting {
		if p.take() {
			p.answer <- reply[R]{err: reason}
		}
	}
}

// halt ends the log because of a failure.
func (l *Log[R]) halt(what string, err error) {
	l.end(fmt.Errorf("%w: %s: %w", log.ErrHalted, what, err))
}

// reason is what to answer once the log has ended, and nil before.
func (l *Log[R]) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.ended:
		return nil
	case l.err != nil:
		return l.err
	default:
		return log.ErrClosed
	}
}
