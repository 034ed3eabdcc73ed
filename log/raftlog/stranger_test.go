package raftlog_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// A voter that was away while another joined, and does not know of it, elects it all the same: with the third voter dead
// the two are a majority, and the one that was away lacks entries that were acknowledged.
func TestAVoterElectsAMemberThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	c.cuts.isolate("n2", "n1", "n3", "n4")
	c.join("n4")
	eventually(t, "n4 is a voter", func() bool { return c.members["n1"].listed(t, "n4").Voter })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	eventually(t, "n3 is removed", func() bool {
		err := c.leader().Remove(ctx, "n3")
		return err == nil || errors.Is(err, log.ErrUnknownReplica)
	})
	c.propose("before")
	c.stop("n1")
	c.stop("n3")
	c.cuts.heal()
	eventually(t, "n4 leads", func() bool { return c.leaderAmong("n2", "n4") == c.members["n4"] })
	if got := c.agree(c.propose("after")); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("the members hold %q", got)
	}
}

// stern is a transport to a voter that gives its pre-vote to those whom it knows alone.
type stern struct {
	*transport.Peer
	knows string
	term  uint64
	asked []string // in whose name
}

func (s *stern) RequestPreVote(_ raft.ServerID, _ raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	s.asked = append(s.asked, string(args.ID))
	resp.Term, resp.Granted = s.term, string(args.ID) == s.knows
	return nil
}

// A voter is asked once more, in another's name, where it does not count this member among the voters: as it never heard
// of it, or as a learner. Where it refuses for any other reason it is not.
func TestAPreVoteIsAskedForInANameThatTheVoterKnows(t *testing.T) {
	for _, c := range []struct {
		name    string
		voter   *stern
		votes   bool
		voters  []string
		granted bool
		asked   []string
	}{
		{"known", &stern{knows: "n4", term: 7}, true, []string{"n1", "n4"}, true, []string{"n4"}},
		{"unknown", &stern{knows: "n1", term: 7}, true, []string{"n1", "n2"}, true, []string{"n4", "n1"}},
		{"unknown, and a leader is heard", &stern{term: 7}, true, []string{"n1", "n2"}, false, []string{"n4", "n1"}},
		{"known, and a leader is heard", &stern{term: 7}, true, []string{"n1", "n4"}, false, []string{"n4"}},
		{"behind", &stern{knows: "n1", term: 9}, true, []string{"n1", "n2"}, false, []string{"n4"}},
		{"not a voter itself", &stern{knows: "n1", term: 7}, false, []string{"n1", "n2"}, false, []string{"n4"}},
		{"nobody says who votes", &stern{knows: "n1", term: 7}, true, nil, false, []string{"n4"}},
	} {
		args := &raft.RequestPreVoteRequest{RPCHeader: raft.RPCHeader{ID: []byte("n4")}, Term: 8}
		var resp raft.RequestPreVoteResponse
		err := raftlog.NewCanvass(c.voter, c.votes, c.voters...).RequestPreVote("n2", "there", args, &resp)
		if err != nil || resp.Granted != c.granted || !slices.Equal(c.voter.asked, c.asked) || string(args.ID) != "n4" {
			t.Errorf("%s: granted %v (%v), asked in the names of %q", c.name, resp.Granted, err, c.voter.asked)
		}
	}
}
