package clustertests

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
	"github.com/registrard/registrard/transport/httpapi/wire"
	"github.com/registrard/registrard/transport/transporttest"
)

// A cluster of one grows to three while clients write, loses its first member for good, and goes on: everything that
// was acknowledged is on the members that joined.
func TestGrowAndReplace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	w := c.write(4, patience)
	w.more(50)
	for _, id := range []string{"n2", "n3"} {
		node := c.node(id)
		node.args = append(node.args, "--join", "http://"+c.Nodes[0].HTTP)
		node.start(t)
		node.awaitReady(t)
		c.awaitVoter(id)
		w.more(20)
	}
	cl := c.client()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := cl.Lead(ctx, "n2"); err != nil {
		t.Fatal(err)
	}
	w.more(20)
	await(t, "n1 is removed", func() error { return cl.RemoveMember(ctx, "n1") })
	w.more(20)
	w.stop()
	removed := c.Nodes[0]
	removed.kill(t)
	c.Nodes = c.Nodes[1:]
	t.Cleanup(func() { removed.kill(t) })
	c.agree()
	w.holds(c)
	members, err := cl.Members(ctx, registrar.Linearizable)
	if err != nil || len(members.Members) != 2 {
		t.Errorf("%+v, %v", members, err)
	}
}

// awaitVoter waits until a member has caught up.
func (c *Cluster) awaitVoter(id string) {
	c.t.Helper()
	c.awaitMembers(id+" is a voter", func(members []wire.Member) bool {
		return slices.ContainsFunc(members, func(m wire.Member) bool { return m.ID == id && m.Role == "voter" })
	})
}

// awaitMembers waits until the list of members is as it should be.
func (c *Cluster) awaitMembers(what string, is func([]wire.Member) bool) {
	c.t.Helper()
	cl := c.client()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	await(c.t, what, func() error {
		list, err := cl.Members(ctx, registrar.Linearizable)
		if err == nil && !is(list.Members) {
			err = fmt.Errorf("%+v", list.Members)
		}
		return err
	})
}

// A node whose directory was emptied has forgotten its votes: told to start as before, it refuses and says what to
// do. Under a new id it joins, and the old one is removed.
func TestEmptiedDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(2, patience)
	w.more(30)
	lost := c.Nodes[2]
	lost.kill(t)
	if err := os.RemoveAll(lost.Dir); err != nil {
		t.Fatal(err)
	}
	lost.start(t)
	lost.refuses(t, "join")
	fresh := c.node("n4")
	fresh.args = append(fresh.args, "--join", "http://"+c.Nodes[0].HTTP)
	fresh.start(t)
	fresh.awaitReady(t)
	c.awaitVoter("n4")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.client().RemoveMember(ctx, "n3"); err != nil {
		t.Fatal(err)
	}
	w.more(30)
	w.stop()
	c.Nodes = []*Node{c.Nodes[0], c.Nodes[1], fresh}
	c.agree()
	w.holds(c)
}

// A member that comes back at another address is found there, by the others and by clients.
func TestMemberMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(2, patience)
	w.more(30)
	moved := c.Nodes[1]
	moved.kill(t)
	http, raft := transporttest.Address(t), transporttest.Address(t)
	for i, arg := range moved.args {
		switch arg {
		case moved.HTTP:
			moved.args[i] = http
		case moved.Raft:
			moved.args[i] = raft
		}
	}
	moved.HTTP, moved.Raft = http, raft
	moved.start(t)
	moved.awaitReady(t)
	cl := c.client()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(t, "the new addresses are known", func() error {
		members, err := cl.Members(ctx, registrar.Linearizable)
		if err != nil {
			return err
		}
		for _, m := range members.Members {
			if m.ID == moved.ID && m.RaftAddr == moved.Raft && m.HTTPAddr == moved.HTTP {
				return nil
			}
		}
		return fmt.Errorf("%+v", members.Members)
	})
	w.more(30)
	w.stop()
	c.agree()
	w.holds(c)
}

// A watcher sees every change once and in order, though every node that it could ask is killed in turn.
func TestWatchOverDeadNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := c.client()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watched := make(chan []fsm.Change, 1)
	until := make(chan uint64, 1)
	go func() {
		var all []fsm.Change
		end := uint64(1 << 62)
		defer func() { watched <- all }()
		for change, err := range cl.Watch(ctx, 0) {
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			all = append(all, *change)
			select {
			case end = <-until:
			default:
			}
			if change.Last && change.Index >= end {
				return
			}
		}
	}()
	w := c.write(4, patience)
	for _, node := range c.Nodes {
		w.more(50)
		node.kill(t)
		w.more(50)
		node.restart(t)
	}
	w.stop()
	c.agree()
	var last uint64
	for _, change := range c.Nodes[0].changes(t, lastChange(t, c.Nodes[0])) {
		last = change.Index
	}
	until <- last
	// One more change, so that the watcher looks at its end.
	applied, err := cl.Propose(ctx, []fsm.Proposal{{Op: fsm.UpdateWeights{Weights: []fsm.Weight{{Role: "end", Weight: 1}}}}})
	if err != nil {
		t.Fatal(err)
	}
	got := <-watched
	want := c.Nodes[0].changes(t, applied.Index)
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("change %d is %+v, and the node's is %+v", i, got[i], want[i])
		}
	}
	if len(got) < len(want)-1 {
		t.Errorf("%d changes were watched, and there are %d", len(got), len(want))
	}
	w.holds(c)
}

// lastChange is the index of the last change that a node has, found by its agents.
func lastChange(t testing.TB, n *Node) uint64 {
	t.Helper()
	cl, err := client.New(client.Config{Addresses: []string{n.HTTP}, AskOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last uint64
	for agent, err := range cl.Agents(ctx, client.AgentQuery{Consistency: registrar.Stale}) {
		if err != nil {
			t.Fatal(err)
		}
		last = max(last, agent.Index)
	}
	return last
}
