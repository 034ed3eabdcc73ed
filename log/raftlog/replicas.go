package raftlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
)

const (
	tendPause = 50 * time.Millisecond // between two looks at the members; a look costs nothing
	caughtUp  = 64                    // entries that a learner may be behind to become a voter
)

// configuration is the founding one: the same bytes on every founder.
func configuration(members map[string]string) raft.Configuration {
	var c raft.Configuration
	for id, addr := range members {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(addr)})
	}
	slices.SortFunc(c.Servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return c
}

// List implements log.Replicas.
func (l *Log[R]) List(context.Context) ([]log.Replica, error) {
	n := l.raft.Load()
	_, leader := n.LeaderWithID()
	term := uint64(0)
	if r, err := l.current(); err == nil {
		term = r.term
	}
	var list []log.Replica
	for _, s := range servers(n) {
		replica := log.Replica{
			ID:     string(s.ID),
			Addr:   string(s.Address),
			Voter:  s.Suffrage == raft.Voter,
			Leader: s.ID == leader,
		}
		switch {
		case term == 0:
		case replica.ID == l.cfg.ID:
			replica.Match = n.LastIndex()
		default:
			replica.Match = l.cfg.Transport.Progress(replica.ID, term).Match
		}
		list = append(list, replica)
	}
	slices.SortFunc(list, func(a, b log.Replica) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Add implements log.Replicas. Whoever answers at the address is asked who it is: a member of another
// cluster is refused, and so is a known voter whose directory is empty, because it has forgotten its votes.
func (l *Log[R]) Add(ctx context.Context, r log.Replica) error {
	if r.ID == "" || r.Addr == "" {
		return fmt.Errorf("add a replica: id %q and address %q must not be empty", r.ID, r.Addr)
	}
	return l.change(ctx, func() error {
		known, isKnown := l.find(r.ID)
		if r.ID != l.cfg.ID {
			h, err := l.cfg.Transport.Hello(ctx, r.ID, r.Addr)
			switch {
			case err != nil && isKnown && string(known.Address) != r.Addr:
				return fmt.Errorf("move replica %q: nobody answers for it at %s: %w", r.ID, r.Addr, err)
			case err != nil:
				// Not there yet; as a learner it harms nobody.
			case h.Cluster != "" && h.Cluster != l.identity.Load().Cluster:
				return fmt.Errorf("add replica %q: it belongs to cluster %s", r.ID, h.Cluster)
			case h.Empty && isKnown && known.Suffrage == raft.Voter:
				return fmt.Errorf("add replica %q: it is a voter whose directory is empty, and must not vote with its "+
					"memory lost; remove it, then let it join under a new id", r.ID)
			}
		}
		switch {
		case isKnown && string(known.Address) == r.Addr:
			return nil
		case isKnown && known.Suffrage == raft.Voter:
			return l.configure(ctx, func(n *raft.Raft) raft.IndexFuture {
				return n.AddVoter(known.ID, raft.ServerAddress(r.Addr), 0, enqueueTimeout)
			})
		default:
			return l.configure(ctx, func(n *raft.Raft) raft.IndexFuture {
				return n.AddNonvoter(raft.ServerID(r.ID), raft.ServerAddress(r.Addr), 0, enqueueTimeout)
			})
		}
	})
}

// met is told who has called, and where that member is reached.
func (l *Log[R]) met(id, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calledBy[id] = addr
}

// moved tells whether a member is to be found elsewhere. One that came back at another address does not hear its
// leader, which calls the old one, and so cannot ask to be moved; but it canvasses, and a leader finds it by that.
func (l *Log[R]) moved(r *reign, s raft.Server) (addr string, ok bool) {
	l.mu.Lock()
	addr = l.calledBy[string(s.ID)]
	l.mu.Unlock()
	return addr, addr != "" && addr != string(s.Address) && !l.isSelf(s) && !l.answers(r, s)
}

// Remove implements log.Replicas. The leader may remove itself: it steps down once that is committed.
func (l *Log[R]) Remove(ctx context.Context, id string) error {
	return l.change(ctx, func() error {
		known, ok := l.find(id)
		if !ok {
			return fmt.Errorf("%w: %q", log.ErrUnknownReplica, id)
		}
		if known.Suffrage == raft.Voter {
			if err := l.spare(ctx, id); err != nil {
				return fmt.Errorf("remove replica %q: %w", id, err)
			}
		}
		return l.configure(ctx, func(n *raft.Raft) raft.IndexFuture {
			return n.RemoveServer(known.ID, 0, enqueueTimeout)
		})
	})
}

// tend makes voters of learners that have caught up, also of those that an earlier reign left behind, and follows
// members that have moved.
func (l *Log[R]) tend(r *reign) {
	for {
		for _, s := range servers(l.raft.Load()) {
			if addr, ok := l.moved(r, s); ok {
				ctx, cancel := context.WithTimeout(r.ctx, enqueueTimeout)
				err := l.Add(ctx, log.Replica{ID: string(s.ID), Addr: addr})
				cancel()
				l.cfg.Logger.Info("member has moved", "member", s.ID, "from", s.Address, "to", addr, "error", err)
				continue
			}
			if s.Suffrage == raft.Voter || !l.ready(r, s) {
				continue
			}
			err := l.change(r.ctx, func() error {
				if now, ok := l.find(string(s.ID)); !ok || now != s {
					return nil // removed or moved in the meantime
				}
				return l.promote(r.ctx, s)
			})
			if err != nil {
				l.cfg.Logger.Warn("learner not promoted, trying again", "member", s.ID, "error", err)
			} else {
				l.cfg.Logger.Info("learner promoted", "member", s.ID)
			}
		}
		select {
		case <-time.After(tendPause):
		case <-r.ctx.Done():
			return
		}
	}
}

// promote makes a voter of a learner. What the learner confirms before raft counts it among the voters, raft forgets,
// and that may be the very entry that makes it one. Where its vote is needed nothing more would be committed until
// somebody proposes, so a barrier follows that it confirms as a voter. Barriers reach no machine, and readers and members
// that start wait for what is committed to reach theirs: the same configuration once more does.
func (l *Log[R]) promote(ctx context.Context, s raft.Server) error {
	add := func(n *raft.Raft) raft.IndexFuture { return n.AddVoter(s.ID, s.Address, 0, enqueueTimeout) }
	var barrier raft.Future
	err := l.configure(ctx, func(n *raft.Raft) raft.IndexFuture {
		promoted := add(n)
		barrier = n.Barrier(enqueueTimeout) // raft's loop has taken the change in, so this comes after it
		return promoted
	})
	if err == nil {
		_, err = l.fly(ctx, func(*raft.Raft) raft.Future { return barrier })
	}
	if err == nil {
		err = l.configure(ctx, add)
	}
	return err
}

// ready tells whether a learner is there and has nearly all that is committed.
func (l *Log[R]) ready(r *reign, s raft.Server) bool {
	p := l.cfg.Transport.Progress(string(s.ID), r.term)
	return p.Match > 0 && p.Match+caughtUp >= l.raft.Load().CommitIndex() && l.answers(r, s)
}

// answers tells whether a member has answered this leader within a heartbeat timeout.
func (l *Log[R]) answers(r *reign, s raft.Server) bool {
	return time.Since(l.cfg.Transport.Progress(string(s.ID), r.term).Answered) < l.cfg.HeartbeatTimeout
}

// change does f while nobody else changes the members, on the leader.
func (l *Log[R]) change(ctx context.Context, f func() error) error {
	r, err := l.current()
	if err != nil {
		return err
	}
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return f()
}

// configure hands a change of the configuration to raft and waits until it is committed.
func (l *Log[R]) configure(ctx context.Context, call func(*raft.Raft) raft.IndexFuture) error {
	_, err := l.fly(ctx, func(n *raft.Raft) raft.Future { return call(n) })
	if err != nil {
		return verdict(err)
	}
	return nil
}

// spare fails unless a majority of the voters beside one answer within a heartbeat timeout: without it the cluster
// would stand still, and nobody could add a voter any more.
func (l *Log[R]) spare(ctx context.Context, id string) error {
	r, err := l.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.HeartbeatTimeout)
	defer cancel()
	for {
		progressed := l.cfg.Transport.Progressed()
		answering, voters := 0, 0
		for _, s := range servers(l.raft.Load()) {
			if s.Suffrage != raft.Voter || string(s.ID) == id {
				continue
			}
			voters++
			if l.isSelf(s) || l.answers(r, s) {
				answering++
			}
		}
		switch {
		case voters == 0:
			return errors.New("it is the only voter")
		case answering > voters/2:
			return nil
		}
		select {
		case <-progressed:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-ctx.Done():
			return fmt.Errorf("of the %d voters that stay only %d answer, which is no majority; start those that are down, "+
				"or let another join first", voters, answering)
		}
	}
}

func (l *Log[R]) find(id string) (raft.Server, bool) {
	for _, s := range servers(l.raft.Load()) {
		if string(s.ID) == id {
			return s, true
		}
	}
	return raft.Server{}, false
}
