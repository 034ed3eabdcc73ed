package clustertests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/registrard/registrard/log/zklog/zktest"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Members of a cluster are given the program of the next version one after the other, under writers, and one of them the
// old one back half-way. Newer forms are written once all members read them and not before, whether or not they run; from
// then on the old program stops before them, joins no more, and has hurt nothing.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	t.Run("raft", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, 3)
		c.upgrade(t)
		leader := c.leader()
		late := c.node("n4")
		late.args = append(late.args, "--join", "http://"+leader.HTTP)
		late.args[0] = plainBinary(t)
		late.start(t)
		late.refuses(t, "member n4 reads formats up to 1, and this registry has come to 2")
	})
	t.Run("zookeeper", func(t *testing.T) {
		t.Parallel()
		newOnZooKeeper(t, zktest.Start(t, 3), 3).upgrade(t)
	})
	t.Run("leveldb", func(t *testing.T) {
		t.Parallel()
		c := newUnfounded(t, 1, "--log", "leveldb")
		n1 := c.Nodes[0]
		n1.becomes(t, nextBinary(t))
		c.awaitFormat(2)
		if err := n1.stop(t); err != nil {
			t.Fatal(err)
		}
		n1.args[0] = plainBinary(t)
		n1.start(t)
		n1.refuses(t, "this program reads up to 1")
	})
}

// upgrade gives three members the next version's program.
func (c *Cluster) upgrade(t *testing.T) {
	t.Helper()
	old, next := plainBinary(t), nextBinary(t)
	w := c.write(3, patience)
	w.more(50)
	replace := func(node *Node, program string) {
		t.Helper()
		node.becomes(t, program)
		w.more(20)
	}
	n1, n2, n3 := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	replace(n1, next)
	replace(n2, next)
	c.awaitReads("n1", 2)
	c.awaitReads("n2", 2)
	replace(n1, old)
	c.awaitReads("n1", 1)
	replace(n3, next)
	c.awaitReads("n3", 2)

	// Who does not run is asked too. The leader tells what it waits for once it has looked.
	if err := n1.stop(t); err != nil {
		t.Fatal(err)
	}
	cl := c.client()
	await(t, "n3 leads and waits for n1", func() error {
		if err := cl.Lead(t.Context(), "n3"); err != nil {
			return err
		}
		if said := n3.log.String(); !strings.Contains(said, `a newer format waits for members: format=2 waits="n1 reads 1"`) {
			return fmt.Errorf("it said:\n%s", said)
		}
		return nil
	})
	for _, node := range []*Node{n2, n3} {
		if status, err := node.status(); err != nil || status.Format != 1 {
			t.Errorf("%s, while n1 reads format 1 only: format %d, %v", node.ID, status.Format, err)
		}
	}
	// What somebody says of the leader, the leader knows better.
	if _, err := cl.AddMember(t.Context(), wire.Member{ID: "n3", RaftAddr: n3.Raft, HTTPAddr: n3.HTTP, Format: 1}); err != nil {
		t.Error(err)
	}
	c.awaitReads("n3", 2)
	n1.args[0] = next
	n1.restart(t)
	c.awaitFormat(2)
	w.more(20)
	// A member's address is corrected by hand, where nobody thinks of formats.
	if _, err := cl.AddMember(t.Context(), wire.Member{ID: "n2", RaftAddr: n2.Raft, HTTPAddr: n2.HTTP}); err != nil {
		t.Error(err)
	}
	c.awaitReads("n2", 2)

	if err := n2.stop(t); err != nil {
		t.Fatal(err)
	}
	n2.args[0] = old
	n2.start(t)
	n2.refuses(t, "this program reads up to 1")
	w.more(20)
	n2.args[0] = next
	n2.restart(t)
	w.stop()
	c.agree()
	w.holds(c)
}

// becomes stops the node and runs another program on its directory.
func (n *Node) becomes(t *testing.T, program string) {
	t.Helper()
	if err := n.stop(t); err != nil {
		t.Fatalf("%s was asked to end, and did with %v", n.ID, err)
	}
	n.args[0] = program
	n.restart(t)
}

// awaitFormat waits until every member has come to a format.
func (c *Cluster) awaitFormat(want uint64) {
	c.t.Helper()
	for _, node := range c.Nodes {
		await(c.t, fmt.Sprintf("%s has come to format %d", node.ID, want), func() error {
			status, err := node.status()
			if err == nil && status.Format != want {
				err = fmt.Errorf("format %d", status.Format)
			}
			return err
		})
	}
}

// awaitReads waits until the registry says that a member reads formats up to one.
func (c *Cluster) awaitReads(id string, format uint64) {
	c.t.Helper()
	c.awaitMembers(fmt.Sprintf("%s is known to read formats up to %d", id, format), func(members []wire.Member) bool {
		return slices.ContainsFunc(members, func(m wire.Member) bool { return m.ID == id && m.Format == format })
	})
}
