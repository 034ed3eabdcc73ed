package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
)

// Transfer implements log.Replicas. Raft's own transfer can leave a leader that refuses everything for ever
// (hashicorp/raft issue 696), so this one is ours: proposals pause, the target gets all there is, then it is
// told to stand for election. It all must happen within two election timeouts; proposals go on after that.
func (l *Log[R]) Transfer(ctx context.Context, to string) error {
	return l.change(ctx, func() error {
		r, err := l.current()
		if err != nil {
			return err
		}
		if to == "" {
			to = l.best(r)
		}
		target, ok := l.find(to)
		switch {
		case to == l.cfg.ID:
			return nil
		case to == "":
			return errors.New("transfer leadership: there is no other voter that answers")
		case !ok:
			return fmt.Errorf("%w: %q", log.ErrUnknownReplica, to)
		case target.Suffrage != raft.Voter:
			return fmt.Errorf("transfer leadership: replica %q is a learner", to)
		}
		ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.HeartbeatTimeout)
		defer cancel()
		if err := l.handOver(ctx, r, target); err != nil {
			return fmt.Errorf("transfer leadership to %q: %w", to, err)
		}
		return nil
	})
}

// best is the voter beside this one that is furthest, among those that answer.
func (l *Log[R]) best(r *reign) (id string) {
	var furthest uint64
	for _, s := range servers(l.raft.Load()) {
		p := l.cfg.Transport.Progress(string(s.ID), r.term)
		if s.Suffrage == raft.Voter && string(s.ID) != l.cfg.ID &&
			time.Since(p.Answered) < l.cfg.HeartbeatTimeout && p.Match > furthest {
			id, furthest = string(s.ID), p.Match
		}
	}
	return id
}

func (l *Log[R]) handOver(ctx context.Context, r *reign, target raft.Server) error {
	l.update(func() { l.paused = true })
	defer l.update(func() { l.paused = false })
	// What is under way is let through: an entry that the target lacks would cost it the election.
	if err := l.until(ctx, func() bool { return l.proposing == 0 }); err != nil {
		return fmt.Errorf("what was proposed before is not answered in time: %w", err)
	}
	for {
		progressed := l.cfg.Transport.Progressed()
		if l.cfg.Transport.Progress(string(target.ID), r.term).Match >= l.raft.Load().LastIndex() {
			break
		}
		select {
		case <-progressed:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-ctx.Done():
			return fmt.Errorf("it has not caught up in time: %w", context.Cause(ctx))
		}
	}
	told := make(chan error, 1)
	go func() { // it may outlive the deadline, but not the transport's own
		told <- l.stand(target.ID, target.Address)
	}()
	for {
		select {
		case err := <-told:
			if err != nil {
				return err
			}
			told = nil
		case <-r.ctx.Done():
			return l.succeeded(ctx, target)
		case <-ctx.Done():
			return fmt.Errorf("it has not taken over in time: %w", context.Cause(ctx))
		}
	}
}

// succeeded waits for who leads after this member and fails unless it is the target.
func (l *Log[R]) succeeded(ctx context.Context, target raft.Server) error {
	var leader string
	err := l.until(ctx, func() bool {
		leader = l.leader
		return leader != ""
	})
	switch {
	case err != nil:
		return fmt.Errorf("this member has stepped down, and nobody is known to lead: %w", err)
	case leader != string(target.ID):
		return fmt.Errorf("%q leads instead", leader)
	default:
		return nil
	}
}
