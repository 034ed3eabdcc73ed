package zklog

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// Log is a log below a root in ZooKeeper. It implements log.Log.
type Log[R any] struct {
	// Set by Open, read-only after.
	cfg     Config
	process string // tells this Log's nodes from those of an earlier process of the same member
	cluster string
	machine log.StateMachine[R]
	ctx     context.Context // ends with the Log
	stop    context.CancelCauseFunc
	release func() error // of the directory
	running sync.WaitGroup
	done    chan struct{}
	arrived chan struct{}   // has room for one: wakes the leader
	asked   chan chan error // callers of Snapshot

	// Of work.
	keep    keeper
	unknown *flight[R] // commands whose append was not answered when the session ended

	mu       sync.Mutex
	session  *session
	reign    *reign // nil: this member does not lead
	waiting  []*proposal[R]
	head     head   // as last read or written
	applied  uint64 // entry that the machine has seen last
	leader   string
	caughtUp bool
	changed  chan struct{} // closed at the next change of reign or applied; nil while nobody waits
	ended    bool
	err      error
	closing  sync.Once
	closed   error
}

// reign is one period of leadership.
type reign struct {
	context.Context
	end       context.CancelCauseFunc
	session   *session
	candidate string // what proves it, as long as it is there
}

// Open reaches the ensemble, founds the log below cfg.Root where there is none, and claims the member's id. It waits,
// and says so in the log, while the ensemble cannot be reached, or an earlier process of this member has not expired;
// ctx bounds that. m must be empty; it is brought up to date after Open has returned.
func Open[R any](ctx context.Context, cfg Config, m log.StateMachine[R]) (_ *Log[R], err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log[R]{
		cfg: cfg.withDefaults(), process: rand.Text(), machine: m, release: func() error { return nil },
		done: make(chan struct{}), arrived: make(chan struct{}, 1), asked: make(chan chan error),
	}
	l.keep.written = make(chan snapshotOutcome, 1)
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	if cfg.Dir != "" {
		lock, err := disk.Claim(cfg.Dir)
		if err != nil {
			return nil, err
		}
		l.release = lock.Close
	}
	defer func() {
		if err != nil {
			l.stop(err)
			_ = l.release()
		}
	}()
	defer context.AfterFunc(ctx, func() { l.stop(context.Cause(ctx)) })()
	for {
		s, err := l.reach()
		if err == nil {
			if l.cluster, err = s.found(); err == nil && cfg.Dir != "" {
				err = remember(l.cfg, l.cluster)
			}
			if err == nil {
				err = s.appear(l.process, true)
			}
			if err == nil {
				l.running.Go(func() { l.work(s) })
				return l, nil
			}
			over := s.Err() != nil
			s.finish(err)
			if over && ctx.Err() == nil {
				continue // the session was lost meanwhile
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
}

// reach begins this Log's next session. It fails when the Log ends.
func (l *Log[R]) reach() (*session, error) {
	return reach(l.ctx, l.cfg, func(s *session) {
		l.mu.Lock()
		l.session = s
		l.mu.Unlock()
	})
}

// Lead implements log.Log.
func (l *Log[R]) Lead(ctx context.Context) (context.Context, error) {
	for {
		l.mu.Lock()
		current, changed := l.reign, l.change()
		l.mu.Unlock()
		switch {
		case l.reason() != nil:
			return nil, l.reason()
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case current != nil && current.Err() == nil:
			return current, nil
		}
		select {
		case <-changed:
		case <-l.done:
		case <-ctx.Done():
		}
	}
}

// ReadIndex implements log.Log. It has the ensemble commit, on a majority, that the candidate this member leads by is
// there: then nobody else has taken over, and what this member has appended is all there is. ZooKeeper's own sync would
// not do, since a deposed leader of the ensemble answers it too.
func (l *Log[R]) ReadIndex(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	current, last := l.reign, l.head.Last
	l.mu.Unlock()
	switch {
	case l.reason() != nil:
		return 0, l.reason()
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case current == nil:
		return 0, log.ErrNotLeader
	}
	proof := make(chan error, 1)
	go func() { proof <- current.session.confirm(current.candidate) }()
	select {
	case err := <-proof:
		if err != nil {
			return 0, l.orEnded(fmt.Errorf("%w: %w", log.ErrNotLeader, err))
		}
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-current.Done():
		return 0, l.orEnded(context.Cause(current))
	}
	for {
		l.mu.Lock()
		applied, changed := l.applied, l.change()
		l.mu.Unlock()
		if err := l.reason(); err != nil {
			return 0, err
		}
		if applied >= last {
			return applied, nil
		}
		select {
		case <-changed:
		case <-l.done:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// orEnded is err, or why the Log has ended where it has.
func (l *Log[R]) orEnded(err error) error {
	if reason := l.reason(); reason != nil {
		return reason
	}
	return err
}

// Status implements log.Log. Term counts the takings-over.
func (l *Log[R]) Status() log.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := log.Status{
		ID: l.cfg.ID, Cluster: l.cluster, Role: log.Follower, Leader: l.leader, Term: l.head.Reign,
		Applied: l.applied, Commit: l.head.Last, Last: l.head.Last, CaughtUp: l.caughtUp,
	}
	switch {
	case l.reign != nil && l.reign.Err() == nil:
		s.Role = log.Leader
	case l.leader == "" && !l.ended:
		s.Role = log.Candidate
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

// Close implements log.Log: the session is ended, so that another member takes over at once. It must not be called
// from the machine.
func (l *Log[R]) Close() error {
	l.end(nil)
	l.closing.Do(func() {
		l.running.Wait()
		l.closed = l.release()
	})
	return l.closed
}

// change is closed at the next change. The caller holds mu.
func (l *Log[R]) change() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// wake tells who waits for a change. The caller holds mu.
func (l *Log[R]) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// end ends the Log because of err, nil for a Close. Only the first call counts. Proposals that wait did not happen and
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
	l.stop(reason)
	refuse(waiting, reason)
}

// halt ends the Log because of a failure.
func (l *Log[R]) halt(what string, err error) {
	l.end(fmt.Errorf("%w: %s: %w", log.ErrHalted, what, err))
}

// reason is what to answer once the Log has ended, and nil before.
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
