package raftlog

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// wire is the transport as raft sees it: without Close, which is the Log's to call, more patient with members that are
// away, and heard by voters that do not know this member yet.
type wire struct {
	raftTransport
	sends     func(term uint64, to raft.Server) bool                   // whether this leader of a term still has entries sent to a member
	votes     func() bool                                              // whether this member knows itself for a voter
	voters    func(id raft.ServerID, addr raft.ServerAddress) []string // who votes, as far as another member knows
	heartbeat time.Duration                                            // the timeout
	logger    hclog.Logger
}

type raftTransport interface {
	raft.Transport
	raft.WithPreVote
}

// sendAgain is between two tries to send entries to a member that is away.
const sendAgain = 50 * time.Millisecond

// AppendEntries implements raft.Transport. After every call with entries that fails raft waits twice as long as after
// the one before, up to ten seconds, and hears of nothing meanwhile: a member that was away for ten seconds would be
// back for as long before it got anything. So a call that failed is made again here. Heartbeats are not held up: raft
// makes them apart, and at most half a heartbeat timeout after one that failed.
func (w wire) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	for tries := 1; ; tries++ {
		err := w.raftTransport.AppendEntries(id, addr, args, resp)
		if err == nil && tries > 1 {
			w.logger.Info("a member that was away takes entries again", "member", id, "tries", tries)
		}
		if err == nil || isHeartbeat(args) || !w.sends(args.Term, raft.Server{ID: id, Address: addr}) {
			return err
		}
		if tries == 1 {
			w.logger.Warn("a member takes no entries, trying until it does", "member", id, "address", addr, "error", err)
		}
		time.Sleep(sendAgain)
	}
}

// isHeartbeat tells a heartbeat by what it does not say, as the library does.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && args.LeaderCommitIndex == 0
}

// sends tells whether this member leads in term and has the other for a member, at that address.
func (l *Log[R]) sends(term uint64, to raft.Server) bool {
	r := l.raft.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	known, ok := l.find(string(to.ID))
	return ok && known.Address == to.Address
}

// RequestVote implements raft.Transport. A vote goes to whoever's log is at least as far as the voter's, whether or not that
// has come to the change which made the candidate a voter (Ongaro's dissertation, section 4.1). Raft refuses those of whom
// it does not know that, by their id, and asks for no id where there is none: without this, a majority of which one has
// not heard of the other would elect nobody for ever. A member that knows that it is no voter, and stands because it was
// told to when it still was one, is refused as ever.
func (w wire) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if !w.votes() {
		return w.raftTransport.RequestVote(id, addr, args, resp)
	}
	nameless := *args
	nameless.ID = nil
	return w.raftTransport.RequestVote(id, addr, &nameless, resp)
}

// RequestPreVote implements raft.WithPreVote. Here raft refuses whoever has no id as well, so a voter that does not know
// this member for one is asked again in the name of one that it knows: what else it looks at is the candidate's term and
// entries, and whether it hears a leader itself. Where the first answer was slow it is not: raft has given the round up by
// then, and waits for this call when it stops.
func (w wire) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	started := time.Now()
	err := w.raftTransport.RequestPreVote(id, addr, args, resp)
	if err != nil || resp.Granted || resp.Term > args.Term || time.Since(started) > w.heartbeat || !w.votes() {
		return err
	}
	voters := w.voters(id, addr)
	if len(voters) == 0 || slices.Contains(voters, string(args.ID)) || time.Since(started) > w.heartbeat {
		return nil
	}
	again := *args
	again.ID = []byte(voters[0])
	*resp = raft.RequestPreVoteResponse{}
	return w.raftTransport.RequestPreVote(id, addr, &again, resp)
}

// votes tells whether this member knows itself for a voter.
func (l *Log[R]) votes() bool {
	if l.raft.Load() == nil {
		return false // raft is being started
	}
	own, ok := l.find(l.cfg.ID)
	return ok && own.Suffrage == raft.Voter
}

// votersAt asks a member who votes, as far as it knows; nobody where it does not say.
func (l *Log[R]) votersAt(id raft.ServerID, addr raft.ServerAddress) []string {
	ctx, cancel := context.WithTimeout(l.stop, l.cfg.HeartbeatTimeout)
	defer cancel()
	h, err := l.cfg.Transport.Hello(ctx, string(id), string(addr))
	if err != nil {
		return nil
	}
	return h.Voters
}
