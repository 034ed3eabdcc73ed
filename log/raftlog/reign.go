package raftlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
)

// reign is one time of leading: from an election that was won in term until this member does anything else
// than lead. It is open once everything committed before is applied here.
type reign struct {
	ctx  context.Context
	end  context.CancelCauseFunc
	term uint64
	open bool // guarded by the Log's mu
}

var errDeposed = fmt.Errorf("%w: the reign has ended", log.ErrNotLeader)

// observe is called by raft in line with each of its transitions. It must not wait.
func (l *Log[R]) observe(o *raft.Observation) bool {
	if o.Raft != l.raft.Load() {
		return false // one that reopen has stopped
	}
	switch seen := o.Data.(type) {
	case raft.RaftState:
		if seen == raft.Leader {
			l.enthrone(o.Raft.CurrentTerm())
		} else {
			l.depose(errDeposed)
		}
	case raft.LeaderObservation:
		l.update(func() { l.leader = string(seen.LeaderID) })
		if members := servers(o.Raft); seen.LeaderID == "" && len(members) > 0 && !slices.ContainsFunc(members, l.isSelf) {
			l.cfg.Logger.Error("this member was removed from the cluster and follows nobody any more; "+
				"it can only join again with an empty directory under a new id", "member", l.cfg.ID)
		}
	}
	return false
}

func (l *Log[R]) isSelf(s raft.Server) bool { return string(s.ID) == l.cfg.ID }

// enthrone begins a reign, unless that of term has begun.
func (l *Log[R]) enthrone(term uint64) {
	l.update(func() {
		if l.ended || l.reign != nil && l.reign.term == term {
			return
		}
		if l.reign != nil {
			l.reign.end(errDeposed)
		}
		r := &reign{term: term}
		r.ctx, r.end = context.WithCancelCause(context.Background())
		l.reign = r
		l.running.Go(func() { l.rule(r) })
	})
}

// depose ends the reign, if there is one.
func (l *Log[R]) depose(cause error) {
	l.update(func() {
		if l.reign != nil {
			l.reign.end(cause)
			l.reign = nil
		}
	})
}

// rule opens the reign and does what only a leader does until it ends.
func (l *Log[R]) rule(r *reign) {
	for {
		f, err := l.fly(r.ctx, func(n *raft.Raft) raft.Future { return n.Barrier(enqueueTimeout) })
		if err == nil {
			l.machine.passed(f.(raft.IndexFuture).Index())
			break
		}
		if r.ctx.Err() != nil || !errors.Is(err, raft.ErrEnqueueTimeout) {
			return // raft leaves the lead, too
		}
	}
	l.update(func() { r.open = l.reign == r && l.machine.failed() == nil })
	l.cfg.Logger.Info("reign began", "term", r.term)
	defer func() { l.cfg.Logger.Info("reign ended", "term", r.term, "error", context.Cause(r.ctx)) }()
	l.background(func() { l.tend(r) })
	l.confirm(r)
}

// Lead implements log.Log.
func (l *Log[R]) Lead(ctx context.Context) (context.Context, error) {
	var r *reign
	err := l.until(ctx, func() bool {
		r = l.reign
		return l.ended || r != nil && r.open
	})
	if err != nil {
		return nil, err
	}
	if err := l.reason(); err != nil {
		return nil, err
	}
	return r.ctx, nil
}

// current is the reign that is open, or why there is none.
func (l *Log[R]) current() (*reign, error) {
	if err := l.reason(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reign == nil || !l.reign.open {
		return nil, log.ErrNotLeader
	}
	return l.reign, nil
}
