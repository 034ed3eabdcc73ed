package raftlog

import (
	"cmp"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/transport"
)

// suspicionPause is between two rounds of asking: the others notice a death some milliseconds sooner or later.
const suspicionPause = 3 * time.Millisecond

// succeed stands for election without waiting for a timeout when the leader's process has died. The machine of a
// process that has died says so: it ends the connections, and refuses new ones. Each of the two may happen to a
// leader that is well, so a member stands only when a majority of all voters has lost the leader, has heard nothing
// from it since, and is refused at its port; a leader of whom that is true leads nobody. A machine that is down, and
// a process that is paused or cut off, refuse nothing, and are given the heartbeat timeout as ever.
func (l *Log[R]) succeed() {
	for {
		losses := l.cfg.Transport.Losses()
		for l.bereft() {
			select {
			case <-time.After(suspicionPause):
			case <-l.stop.Done():
				return
			}
		}
		select {
		case <-losses:
		case <-l.stop.Done():
			return
		}
	}
}

// bereft asks the voters once, stands if they agree and it is this member's turn, and tells whether to ask again.
func (l *Log[R]) bereft() bool {
	n := l.raft.Load()
	_, leader := n.LeaderWithID()
	s := transport.Suspicion{Leader: string(leader), Term: n.CurrentTerm()}
	if !l.lost(n, s) {
		return false
	}
	ctx, cancel := context.WithTimeout(l.stop, l.cfg.HeartbeatTimeout)
	defer cancel()
	own := l.opinion(ctx, s)
	if !own.Agrees {
		return true
	}
	voters, agreeing, turn := l.poll(ctx, n, s, own)
	if agreeing <= voters/2 || !turn || !l.lost(n, s) {
		return true
	}
	l.cfg.Logger.Info("the leader's process is gone, standing for election", "leader", s.Leader, "term", s.Term,
		"agreeing", agreeing, "voters", voters)
	if err := l.stand(raft.ServerID(l.cfg.ID), l.cfg.Transport.LocalAddr()); err != nil {
		l.cfg.Logger.Warn("not standing for election before the heartbeat timeout", "error", err)
	}
	return false
}

// lost tells whether this member followed the leader of a term, and its connections ended after all that was heard
// from it. Raft's own timeout takes over where nothing has come of that.
func (l *Log[R]) lost(n *raft.Raft, s transport.Suspicion) bool {
	_, leader := n.LeaderWithID()
	if s.Leader == "" || s.Leader == l.cfg.ID || string(leader) != s.Leader || n.State() != raft.Follower || n.CurrentTerm() != s.Term {
		return false
	}
	since, ok := l.cfg.Transport.Lost(s.Leader)
	return ok && since.After(n.LastContact()) && time.Since(since) < l.cfg.HeartbeatTimeout
}

// opinion is what this member says of a suspicion, its own or another's.
func (l *Log[R]) opinion(ctx context.Context, s transport.Suspicion) transport.Opinion {
	n := l.raft.Load()
	known, ok := l.find(s.Leader)
	if !ok || !l.lost(n, s) || !l.cfg.Transport.Refused(ctx, string(known.Address)) || !l.lost(n, s) {
		return transport.Opinion{}
	}
	term, _ := strconv.ParseUint(n.Stats()["last_log_term"], 10, 64) // raft says it nowhere else
	return transport.Opinion{Agrees: true, LastTerm: term, LastIndex: n.LastIndex()}
}

// poll asks all voters but the leader at once. It is this member's turn when it is a voter and nobody who agrees has
// more entries, or as many and a lower id: two that stand at once may both lose.
func (l *Log[R]) poll(ctx context.Context, n *raft.Raft, s transport.Suspicion, own transport.Opinion) (voters, agreeing int, turn bool) {
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		voter  bool
		behind bool
	)
	for _, server := range servers(n) {
		id := string(server.ID)
		if server.Suffrage != raft.Voter {
			continue
		}
		voters++
		switch id {
		case s.Leader:
			continue
		case l.cfg.ID:
			voter = true
			continue
		}
		asking.Go(func() {
			other, err := l.cfg.Transport.Suspect(ctx, id, string(server.Address), s)
			if err != nil || !other.Agrees {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			agreeing++
			order := cmp.Or(cmp.Compare(own.LastTerm, other.LastTerm), cmp.Compare(own.LastIndex, other.LastIndex), cmp.Compare(id, l.cfg.ID))
			behind = behind || order < 0
		})
	}
	asking.Wait()
	return voters, agreeing + 1, voter && !behind
}

// stand has a member stand for election at once, without asking whether anybody hears a leader.
func (l *Log[R]) stand(id raft.ServerID, addr raft.ServerAddress) error {
	header := raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte(l.cfg.ID),
		Addr:            l.cfg.Transport.EncodePeer(raft.ServerID(l.cfg.ID), l.cfg.Transport.LocalAddr()),
	}
	return l.cfg.Transport.TimeoutNow(id, addr, &raft.TimeoutNowRequest{RPCHeader: header}, new(raft.TimeoutNowResponse))
}
