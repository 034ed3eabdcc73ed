package raftlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/log/raftlog/store"
	"github.com/registrard/registrard/transport"
)

// Log is one member of a log on Raft. It implements log.Log and log.Replicas.
type Log[R any] struct {
	// Set by Open, read-only after.
	cfg      Config
	machine  *machine[R]
	stores   *stores
	lock     *os.File
	stop     context.Context // ends when the log has ended
	cancel   context.CancelFunc
	running  sync.WaitGroup
	done     chan struct{} // closed when the log has ended
	retired  chan struct{} // closed when raft is quiet after that
	life     chan struct{} // has room for one: who starts or stops raft holds it
	changing chan struct{} // has room for one: who changes the members holds it

	goal     atomic.Uint64 // what was committed when a leader was first known; 0 before
	identity atomic.Pointer[Identity]
	raft     atomic.Pointer[raft.Raft] // replaced by reopen alone

	mu        sync.Mutex
	changed   chan struct{} // closed at the next change of the below; nil while nobody waits
	reign     *reign        // nil while this member does not lead
	leader    string        // id of who leads as raft sees it, empty while unknown
	flying    int           // calls that were handed to raft and not answered
	proposing int           // proposals that their callers wait for
	paused    bool          // leadership is being transferred, nothing more is proposed
	asking    *round        // readers for the next round, nil when there are none
	ended     bool
	err       error             // why it has ended, nil for Close
	calledBy  map[string]string // id to address of the members that have called

	stuck    error // why raft could not be stopped; of who holds life
	released sync.Once
}

// Open opens the member in cfg.Dir: it restarts one, joins a cluster or founds one, and waits until that is
// settled or ctx ends; it does not wait for a leader. m must be empty.
func Open[R any](ctx context.Context, cfg Config, m log.StateMachine[R]) (_ *Log[R], err error) {
	if err := cfg.Validate(); err != nil {
		if cfg.Transport != nil {
			cfg.Transport.Close()
		}
		return nil, err
	}
	cfg = cfg.withDefaults()
	l := &Log[R]{
		cfg:      cfg,
		done:     make(chan struct{}),
		retired:  make(chan struct{}),
		life:     make(chan struct{}, 1),
		changing: make(chan struct{}, 1),
	}
	l.calledBy = make(map[string]string)
	l.stop, l.cancel = context.WithCancel(context.Background())
	l.machine = &machine[R]{sm: m, fail: l.end}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.lock, err = disk.Claim(cfg.Dir); err != nil {
		return nil, err
	}
	id, err := identify(cfg)
	if err != nil {
		return nil, err
	}
	l.identity.Store(&id)
	cfg.Transport.ServeHello(l.hello)
	if err := settle(ctx, cfg, id, l.keepIdentity); err != nil {
		return nil, err
	}
	if l.stores, err = openStores(cfg, l.broken); err != nil {
		return nil, err
	}
	l.stores.emptied = l.emptied
	l.stores.cut = func() { l.machine.grow(uint64(cfg.SegmentBytes)) } // the log goes on in another file of that size
	settled := *l.identity.Load()                                      // a copy: hellos read what is kept
	if err := l.stores.begin(cfg, settled); err != nil {
		return nil, err
	}
	if !settled.Ready {
		settled.Ready = true
		if err := l.keepIdentity(settled); err != nil {
			return nil, err
		}
	}
	cfg.Transport.OnMeet(l.met)
	cfg.Transport.SetCluster(settled.Cluster)
	if err := l.start(); err != nil {
		return nil, err
	}
	cfg.Transport.ServeSuspicion(l.opinion)
	l.running.Go(l.keep)
	l.running.Go(l.succeed)
	return l, nil
}

// keepIdentity persists what was settled and says it in hellos from now on.
func (l *Log[R]) keepIdentity(id Identity) error {
	if err := id.write(l.cfg.Dir); err != nil {
		return err
	}
	l.identity.Store(&id)
	return nil
}

// hello is what this member says of itself.
func (l *Log[R]) hello() transport.Hello {
	id := l.identity.Load()
	h := transport.Hello{
		ID:       id.Node,
		Cluster:  id.Cluster,
		Nonce:    id.Nonce,
		Members:  id.Members,
		Empty:    id.Cluster == "",
		Founding: id.Founding,
		Wall:     time.Now(),
	}
	if w, ok := l.machine.sm.(log.Witness); ok {
		h.Testimony = w.Testimony()
	}
	if r := l.raft.Load(); r != nil {
		for _, s := range servers(r) {
			if s.Suffrage == raft.Voter {
				h.Voters = append(h.Voters, string(s.ID))
			}
		}
	}
	return h
}

// start starts raft over the stores. Raft reads the newest snapshot and may panic over the disk, so it
// happens where neither ends the process.
func (l *Log[R]) start() error {
	err := l.stores.contained(func() error {
		if err := store.CheckSnapshots(l.stores.snapshots, l.stores.log); err != nil {
			return err
		}
		entries := l.stores.logs()
		r, err := raft.NewRaft(l.cfg.raft(), l.machine, entries, votes{l.stores.vote, l.stores},
			l.stores.snapshots, wire{l.cfg.Transport, l.sends, l.votes, l.votersAt, l.cfg.HeartbeatTimeout, l.cfg.Logger})
		if err != nil {
			return err
		}
		l.raft.Store(r)
		// The filter is called in line with the transition, so that none is missed and no two are merged;
		// there is no channel to fall behind.
		r.RegisterObserver(raft.NewObserver(nil, false, l.observe))
		if r.State() == raft.Leader {
			l.enthrone(r.CurrentTerm())
		}
		return l.hurry(r)
	})
	if failed := l.machine.failed(); failed != nil {
		return failed // raft says no more than that it could not load a snapshot
	}
	return err
}

// hurry is by how much a lone voter's heartbeat timeout is shortened.
const hurry = time.Millisecond

// hurry has a lone voter elect itself now: there is no leader whose heartbeats it could wait for. Raft looks at once
// when its timeout becomes shorter.
func (l *Log[R]) hurry(r *raft.Raft) error {
	voters := slices.DeleteFunc(servers(r), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
	if len(voters) != 1 || !l.isSelf(voters[0]) {
		return nil
	}
	config := r.ReloadableConfig()
	config.HeartbeatTimeout -= hurry
	return r.ReloadConfig(config)
}

// emptied is called by raft, in the middle of things, when it has deleted the whole log because it installed
// a snapshot. Where the log went on past the snapshot, raft goes on believing that it does, refuses what
// follows the snapshot, and is sent the snapshot again for ever (hashicorp/raft issue 697). Starting again
// from what is on the disk cures it.
func (l *Log[R]) emptied() {
	r := l.raft.Load()
	list, err := l.stores.snapshots.List()
	if r == nil || err != nil || len(list) == 0 || list[0].Index >= r.LastIndex() {
		return
	}
	l.cfg.Logger.Info("the log ended past the snapshot installed, starting raft again", "index", list[0].Index)
	l.background(l.reopen)
}

// reopen stops raft and starts it again.
func (l *Log[R]) reopen() {
	select {
	case l.life <- struct{}{}:
		defer func() { <-l.life }()
	case <-l.done:
		return
	}
	if l.stuck = quiet(l.raft.Load()); l.stuck != nil {
		l.end(fmt.Errorf("%w: start raft again: %w", log.ErrHalted, l.stuck))
		return
	}
	if l.reason() != nil {
		return
	}
	if err := l.start(); err != nil {
		l.end(fmt.Errorf("%w: start raft again: %w", log.ErrHalted, err))
	}
}

// background starts a goroutine that Close waits for, unless the log has ended.
func (l *Log[R]) background(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.running.Go(f)
	}
}

// Status implements log.Log.
func (l *Log[R]) Status() log.Status {
	r := l.raft.Load()
	_, leader := r.LeaderWithID()
	s := log.Status{
		ID:      l.cfg.ID,
		Cluster: l.identity.Load().Cluster,
		Role:    log.Follower,
		Leader:  string(leader),
		Term:    r.CurrentTerm(),
		Commit:  r.CommitIndex(),
		Last:    r.LastIndex(),
	}
	switch r.State() {
	case raft.Leader:
		s.Role = log.Leader
	case raft.Candidate:
		s.Role = log.Candidate
	}
	l.machine.mu.Lock()
	s.Applied = l.machine.applied
	reached := l.machine.reached
	l.machine.mu.Unlock()
	s.CaughtUp = l.caughtUp(s.Leader != "", s.Commit, reached)
	s.Commit = max(s.Commit, s.Applied) // raft forgets what was committed when it stops
	s.Last = max(s.Last, s.Commit)
	return s
}

// caughtUp compares what is applied with what was committed when a leader first said so. Entries without a command
// reach no follower's machine, but the first thing that a new leader proposes does.
func (l *Log[R]) caughtUp(led bool, commit, reached uint64) bool {
	if led && commit > 0 {
		l.goal.CompareAndSwap(0, commit)
	}
	goal := l.goal.Load()
	return goal > 0 && reached >= goal
}

// Done implements log.Log.
func (l *Log[R]) Done() <-chan struct{} { return l.done }

// Err implements log.Log.
func (l *Log[R]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// update changes what mu guards and wakes who waits for it.
func (l *Log[R]) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// until waits for a condition over what mu guards, or for ctx.
func (l *Log[R]) until(ctx context.Context, condition func() bool) error {
	for {
		l.mu.Lock()
		if condition() {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
