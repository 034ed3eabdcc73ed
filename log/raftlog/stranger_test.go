package raftlog_test

import (
	"context"
	"slices"
	"testing"
)

// A voter that was away while another joined, and does not know of it, elects it all the same: with the third voter dead
// the two are a majority, and the one that was away lacks entries that were acknowledged.
func TestAVoterElectsAMemberThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	c.cuts.isolate("n2", "n1", "n3", "n4")
	c.join("n4")
	eventually(t, "n4 is a voter", func() bool {
		list, err := c.members["n1"].List(t.Context())
		return err == nil && len(list) == 4 && list[3].Voter
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.members["n1"].Remove(ctx, "n3"); err != nil {
		t.Fatal(err)
	}
	c.propose("before")
	c.stop("n1")
	c.stop("n3")
	c.cuts.heal()
	eventually(t, "n4 leads", func() bool { return c.leaderAmong("n2", "n4") == c.members["n4"] })
	if got := c.agree(c.propose("after")); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("the members hold %q", got)
	}
}
