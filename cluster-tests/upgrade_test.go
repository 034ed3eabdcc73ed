package clustertests

import (
	"fmt"
	"slices"
	"testing"

	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Members of a cluster are given the program of the next version one after the other, under writers, and one of them the
// old one back half-way. Newer forms are written once all members read them and not before; from then on the old program
// stops before them, joins no more, and has hurt nothing.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next, err := buildNext()
	if err != nil {
		t.Fatal(err)
	}
	old := plainBinary(t)
	c := &Cluster{t: t, binary: old}
	c.found(3)
	w := c.write(3, patience)
	w.more(50)
	replace := func(node *Node, program string) {
		if err := node.stop(t); err != nil {
			t.Fatalf("%s was asked to end, and did with %v", node.ID, err)
		}
		node.args[0] = program
		node.restart(t)
		w.more(20)
	}
	format := func(node *Node, want uint64) error {
		status, err := node.status()
		if err == nil && status.Format != want {
			err = fmt.Errorf("format %d", status.Format)
		}
		return err
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
	for _, node := range c.Nodes {
		if err := format(node, 1); err != nil {
			t.Errorf("%s, while n1 reads format 1 only: %v", node.ID, err)
		}
	}
	replace(n1, next)
	for _, node := range c.Nodes {
		await(t, node.ID+" has come to format 2", func() error { return format(node, 2) })
	}

	if err := n2.stop(t); err != nil {
		t.Fatal(err)
	}
	n2.args[0] = old
	n2.start(t)
	n2.refuses(t, "format 2 begins here, and this program reads up to 1")
	late := c.node("n4")
	late.args = append(late.args, "--join", "http://"+n1.HTTP)
	late.start(t)
	late.refuses(t, "member n4 reads formats up to 1, and this registry has come to 2")
	c.Nodes = c.Nodes[:3]
	w.more(20)
	n2.args[0] = next
	n2.restart(t)
	w.stop()
	c.agree()
	w.holds(c)
}

// awaitReads waits until the registry says that a member reads formats up to one.
func (c *Cluster) awaitReads(id string, format uint64) {
	c.t.Helper()
	c.awaitMembers(fmt.Sprintf("%s is known to read formats up to %d", id, format), func(members []wire.Member) bool {
		return slices.ContainsFunc(members, func(m wire.Member) bool { return m.ID == id && m.Format == format })
	})
}
