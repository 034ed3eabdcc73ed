package clustertests

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/registrard/registrard/registrar"
)

// churnRounds is six, or MEMBER_ROUNDS, or a hundred in a soak.
func churnRounds() int {
	if n, err := strconv.Atoi(os.Getenv("MEMBER_ROUNDS")); err == nil {
		return n
	}
	if os.Getenv("SOAK") != "" {
		return 100
	}
	return 6
}

// Members are added, removed, replaced after their death, and leadership is moved, round after round while clients
// write, until no member is left of those that founded the cluster. Nothing acknowledged is lost and every answer is true.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(3, patience)
	w.more(30)
	next := 4
	join := func(more ...string) *Node {
		via := c.leader().HTTP
		node := c.node(fmt.Sprintf("n%d", next))
		next++
		node.args = append(node.args, append([]string{"--join", "http://" + via}, more...)...)
		node.start(t)
		node.awaitReady(t)
		c.awaitVoter(node.ID)
		return node
	}
	drop := func(gone *Node) {
		gone.kill(t)
		c.Nodes = slices.DeleteFunc(c.Nodes, func(n *Node) bool { return n == gone })
	}
	var longest time.Duration
	for round := range churnRounds() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cl := c.client()
		switch round % 3 {
		case 0: // one dies, the leader every other time, and another takes its place
			dead := c.Nodes[0]
			if round%2 == 0 {
				dead = c.leader()
			}
			began := time.Now()
			drop(dead)
			w.more(1)
			longest = max(longest, time.Since(began))
			join("--replaces", dead.ID)
			c.awaitGone(dead.ID)
		case 1: // four for a while, then the leader itself is removed
			join()
			leader := c.leader()
			await(t, leader.ID+" is removed", func() error { return cl.RemoveMember(ctx, leader.ID) })
			c.awaitGone(leader.ID)
			drop(leader)
		case 2: // each leads once
			for _, node := range c.Nodes {
				await(t, node.ID+" leads", func() error { return cl.Lead(ctx, node.ID) })
				w.more(5)
			}
		}
		cancel()
		w.more(10)
	}
	w.stop()
	if len(w.perhaps)+len(w.no) > 0 {
		t.Errorf("%d perhaps and %d no, though every client had time to wait", len(w.perhaps), len(w.no))
	}
	c.agree()
	w.holds(c)
	t.Logf("%d rounds, %d members in all; after a death the longest wait for a write was %s", churnRounds(), next-1, longest)
}

// awaitGone waits until a member is none any more, in the log and in the registry.
func (c *Cluster) awaitGone(id string) {
	c.t.Helper()
	cl := c.client()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	await(c.t, id+" is gone", func() error {
		members, err := cl.Members(ctx, registrar.Linearizable)
		for _, m := range members.Members {
			if m.ID == id {
				return fmt.Errorf("%+v", members.Members)
			}
		}
		return err
	})
}
