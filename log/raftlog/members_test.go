package raftlog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
)

// A learner that its leader did not get to promote is promoted by the next one; whoever is unknown cannot be
// removed; the same member again changes nothing.
func TestLearnersOutliveTheReignThatAddedThem(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n1 := c.members["n1"]
	if err := n1.Remove(ctx, "n9"); !errors.Is(err, log.ErrUnknownReplica) {
		t.Errorf("remove nobody: %v", err)
	}
	if err := n1.Add(ctx, log.Replica{ID: "n2", Addr: c.initial["n2"]}); err != nil {
		t.Errorf("add a member that is there: %v", err)
	}
	c.cuts.isolate("n4", "n1")
	c.join("n4")
	if r := c.leader().listed(t, "n4"); r.ID == "" || r.Voter {
		t.Fatalf("n4 is %+v, want a learner", r)
	}
	c.lead("n2")
	eventually(t, "the next leader promotes the learner", func() bool { return c.leader().listed(t, "n4").Voter })
	c.cuts.heal()
	c.agree(c.propose("all four"))
}

// A member that comes back at another address is found there, by what it asks the others.
func TestAMemberMoves(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	c.agree(c.propose("before"))
	c.stop("n3")
	delete(c.initial, "n3") // so that it listens anywhere
	n3 := c.start("n3")
	moved := string(n3.peer.LocalAddr())
	if got := c.agree(c.propose("after")); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("the members hold %q", got)
	}
	// Entries already find it by what it said when they met; the leader writes the address down after that.
	eventually(t, "the new address is in the membership", func() bool {
		list, err := n3.List(t.Context())
		return err == nil && len(list) == 3 && list[2].Addr == moved && list[2].Voter
	})
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// A member that is removed says so, disturbs nobody, and still answers what it knows.
func TestARemovedMemberSaysSo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	var said lines
	c.adjust = func(cfg *raftlog.Config) {
		if cfg.ID == "n3" {
			cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &said, Level: hclog.Error})
		}
	}
	c.startAll()
	reign := c.lead("n1")
	c.agree(c.propose("before"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.members["n1"].Remove(ctx, "n3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "n3 says that it was removed", func() bool { return said.contains("this member was removed") })
	n3 := c.members["n3"]
	if got := n3.machine.Entries(); len(got) != 1 || n3.Err() != nil {
		t.Errorf("n3 holds %v, %v", got, n3.Err())
	}
	c.stop("n3")
	c.agree(c.propose("after"))
	if reign.Err() != nil {
		t.Errorf("the reign was disturbed: %v", context.Cause(reign))
	}
}

// Members that answer are asked for their time; one that is down has no say.
func TestMembersTellTheTime(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	offsets := c.members["n1"].Offsets(ctx)
	if len(offsets) != 2 || offsets["n2"].Abs() > patience || offsets["n3"].Abs() > patience {
		t.Errorf("%v", offsets)
	}
	c.stop("n3")
	if offsets := c.members["n1"].Offsets(ctx); len(offsets) != 1 {
		t.Errorf("with one member down: %v", offsets)
	}
}
