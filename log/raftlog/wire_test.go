package raftlog_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// away is a transport to a member that is away for the first calls.
type away struct {
	*transport.Peer
	calls, fails int
}

var errAway = errors.New("it is away")

func (a *away) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error {
	if a.calls++; a.calls <= a.fails {
		return errAway
	}
	return nil
}

// Entries wait for a member that is away, for as long as there is anything to send it; heartbeats do not.
func TestEntriesWaitForAMemberThatIsAway(t *testing.T) {
	entries := &raft.AppendEntriesRequest{Term: 3, Entries: []*raft.Log{{Index: 8}}}
	commit := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, PrevLogTerm: 2, LeaderCommitIndex: 7}
	for _, c := range []struct {
		name  string
		args  *raft.AppendEntriesRequest
		sends int // how often the leader still leads
		err   error
		calls int
	}{
		{"entries", entries, 100, nil, 21},
		{"a commit", commit, 100, nil, 21},
		{"a heartbeat", &raft.AppendEntriesRequest{Term: 3}, 100, errAway, 1},
		{"a leader no more", entries, 4, errAway, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &away{fails: 20}
				wire := raftlog.NewWire(a, func(term uint64, to raft.Server) bool {
					if term != 3 || to.ID != "n2" || to.Address != "there" {
						t.Errorf("asked whether it sends to %v in term %d", to, term)
					}
					c.sends--
					return c.sends >= 0
				})
				if err := wire.AppendEntries("n2", "there", c.args, nil); !errors.Is(err, c.err) || a.calls != c.calls {
					t.Errorf("%v after %d calls, want %v after %d", err, a.calls, c.err, c.calls)
				}
			})
		})
	}
}
