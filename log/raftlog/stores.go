package raftlog

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/raftlog/store"
)

const retainedSnapshot = 2 // the newest, and the one to fall back to

// stores is what a member has on disk.
type stores struct {
	guard     *store.Guard
	log       *store.Log
	vote      *store.Vote
	snapshots *store.Snapshots
	// emptied, when set, is told that the whole log was deleted, from within the call.
	emptied func()
	// cut, when set, is told that entries at the log's end were deleted.
	cut func()
}

// openStores opens everything and checks that it belongs together. fail is called, once, when a write fails
// or stalls, or a read finds damage; it must not wait for a write.
func openStores(cfg Config, fail func(error)) (_ *stores, err error) {
	s := &stores{guard: store.NewGuard(fail)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	logger := cfg.Logger.Named("store")
	if s.snapshots, err = store.OpenSnapshots(SnapshotsDir(cfg.Dir), retainedSnapshot, logger); err != nil {
		return nil, err
	}
	var checking sync.WaitGroup
	checking.Go(s.snapshots.CheckAhead)
	defer checking.Wait()
	if s.vote, err = store.OpenVote(VoteFile(cfg.Dir), s.guard); err != nil {
		return nil, err
	}
	s.log, err = store.OpenLog(LogDir(cfg.Dir), store.LogConfig{
		Guard:        s.guard,
		SegmentBytes: cfg.SegmentBytes,
		KeepAfter:    s.snapshots.Before,
		Logger:       logger,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *stores) close() error {
	var problems []error
	if s.log != nil {
		problems = append(problems, s.log.Close())
	}
	if s.vote != nil {
		problems = append(problems, s.vote.Close())
	}
	s.guard.Close()
	return errors.Join(problems...)
}

// begin puts the founding configuration into stores that are empty. What a crash left of an earlier try is
// the same configuration and is kept. For a member that is ready it checks that the stores still hold
// something, where they must.
func (s *stores) begin(cfg Config, id Identity) error {
	exists, err := raft.HasExistingState(s.log, s.vote, s.snapshots)
	if err != nil || exists {
		return err
	}
	if id.Ready {
		if len(id.Founding) > 0 {
			return fmt.Errorf("directory %s has lost its log: remove member %q from cluster %s, then let it join under a new id",
				cfg.Dir, id.Node, id.Cluster)
		}
		return nil // joined, and has heard nothing from the leader yet
	}
	return raft.BootstrapCluster(cfg.raft(), s.log, s.vote, s.snapshots, cfg.Transport, configuration(id.Members))
}

// logs is the log store as raft sees it.
type logs struct {
	raft.LogStore // a cache over the store
	*stores
}

func (s *stores) logs() logs { return logs{&cache{LogStore: s.log}, s} }

// IsMonotonic implements raft.MonotonicLogStore.
func (l logs) IsMonotonic() bool { return l.log.IsMonotonic() }

// GetLog implements raft.LogStore. Raft panics where an entry cannot be read.
func (l logs) GetLog(index uint64, e *raft.Log) error {
	err := l.LogStore.GetLog(index, e)
	l.guarded(err)
	return err
}

// DeleteRange implements raft.LogStore.
func (l logs) DeleteRange(low, high uint64) error {
	last, err := l.log.LastIndex()
	if err != nil {
		return err
	}
	if err := l.LogStore.DeleteRange(low, high); err != nil {
		return err
	}
	now, err := l.log.LastIndex()
	switch {
	case err != nil || now >= last: // shortened at the front, and perhaps appended to meanwhile
	case now == 0 && l.emptied != nil:
		l.emptied()
	case now > 0 && l.cut != nil:
		l.cut()
	}
	return nil
}

// votes is the vote store as raft sees it. Raft panics where a term cannot be stored.
type votes struct {
	*store.Vote
	*stores
}

func (v votes) Set(key, value []byte) error {
	err := v.Vote.Set(key, value)
	v.guarded(err)
	return err
}

func (v votes) SetUint64(key []byte, value uint64) error {
	err := v.Vote.SetUint64(key, value)
	v.guarded(err)
	return err
}

// guarded ends the calling goroutine, which is one of raft's, when err is why the disk is not used any more:
// the log has been halted then, and raft would answer the error with a panic and take the process along.
func (s *stores) guarded(err error) {
	if err != nil && s.guard.Err() != nil {
		runtime.Goexit()
	}
}

// contained calls f where a panic or guarded ends it alone.
func (s *stores) contained(f func() error) (err error) {
	done := make(chan struct{})
	err = errors.New("raft gave up")
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("raft gave up: %v", p)
			}
		}()
		defer func() {
			if broken := s.guard.Err(); broken != nil {
				err = broken
			}
		}()
		err = f()
	}()
	<-done
	return err
}
