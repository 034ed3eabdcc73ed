package clustertests

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/registrard/registrard/transport/httpapi/wire"
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

// figuresFrom is the number of rounds from which on the program is built as people run it, and waits are judged: the
// race detector and a machine that does other things make every wait longer.
const figuresFrom = 100

// twoElections is what a write may wait where nobody died: a member stands after one to two heartbeat timeouts of 300 ms.
const twoElections = 2 * 2 * 300 * time.Millisecond

// Members are added, removed, replaced after their death, and leadership is moved, round after round while clients
// write, until no member is left of those that founded the cluster. Nothing acknowledged is lost and every answer is
// true. How long a write waited, and how many terms went by for which nobody had asked, is printed for each kind of
// event; from a hundred rounds on a wait of more than two elections without a death is an error.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	rounds := churnRounds()
	c := &Cluster{t: t}
	if rounds >= figuresFrom {
		c.binary = plainBinary(t)
	}
	c.found(3)
	w := c.write(3, patience)
	w.more(30)
	ch := &churn{t: t, c: c, w: w, kinds: map[string]*churned{}}
	for round := range rounds {
		cl := c.client()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ch.during("nothing", func() int { w.more(50); return 0 })
		switch round % 3 {
		case 0: // one dies, the leader every other time, and another takes its place
			leader := c.leader()
			dead, kind, asked := leader, "the leader dies", 1
			if round%2 == 1 {
				dead, kind, asked = c.Nodes[(slices.Index(c.Nodes, leader)+1)%len(c.Nodes)], "a follower dies", 0
			}
			ch.during(kind, func() int { ch.drop(dead); return asked })
			ch.during("a dead one is replaced", func() int {
				ch.join("--replaces", dead.ID)
				c.awaitGone(dead.ID)
				return 0
			})
		case 1: // four for a while, then the leader itself is removed
			ch.during("a fourth joins", func() int { ch.join(); return 0 })
			leader := c.leader()
			ch.during("the leader is removed", func() int {
				await(t, leader.ID+" is removed", func() error { return cl.RemoveMember(ctx, leader.ID) })
				c.awaitGone(leader.ID)
				return 1
			})
			ch.drop(leader)
		case 2: // each leads once
			for _, node := range c.Nodes {
				ch.during("leadership is handed over", func() (asked int) {
					if c.leader() != node {
						asked = 1
					}
					await(t, node.ID+" leads", func() error { return cl.Lead(ctx, node.ID) })
					return asked
				})
			}
		}
		cancel()
	}
	w.stop()
	if len(w.perhaps)+len(w.no) > 0 {
		t.Errorf("%d perhaps and %d no, though every client had time to wait", len(w.perhaps), len(w.no))
	}
	c.agree()
	w.holds(c)
	t.Logf("%d rounds, %d members in all, %d writes acknowledged", rounds, ch.joined+3, len(w.yes))
	for _, kind := range slices.Sorted(maps.Keys(ch.kinds)) {
		k := ch.kinds[kind]
		slices.Sort(k.waits)
		longest := k.waits[len(k.waits)-1]
		t.Logf("%-26s %4d times, the longest wait of a write: median %5d ms, worst %5d ms; %d terms more than asked for",
			kind, len(k.waits), k.waits[len(k.waits)/2].Milliseconds(), longest.Milliseconds(), k.needless)
		if rounds >= figuresFrom && kind != "the leader dies" && longest > twoElections {
			t.Errorf("%s: a write waited %s, more than two elections of %s", kind, longest, twoElections/2)
		}
	}
}

// churn is a cluster whose members change, and what its writers had to wait.
type churn struct {
	t      *testing.T
	c      *Cluster
	w      *writers
	joined int
	kinds  map[string]*churned
}

// churned is what one kind of event came to.
type churned struct {
	waits    []time.Duration // the longest of each time
	needless uint64          // terms more than were asked for
}

// during has something happen, which asks for so many changes of leader, and notes what the writers meanwhile waited for
// their answers.
func (ch *churn) during(kind string, happens func() (asked int)) {
	ch.t.Helper()
	k := ch.kinds[kind]
	if k == nil {
		k = &churned{}
		ch.kinds[kind] = k
	}
	before := ch.term()
	ch.w.longestWait() // what was before does not count
	asked := uint64(happens())
	ch.w.settle()
	k.waits = append(k.waits, ch.w.longestWait())
	if gone := ch.term() - before; gone > asked {
		k.needless += gone - asked
		ch.t.Logf("%s: %d terms have gone by, and %d changes of leader were asked for", kind, gone, asked)
	}
}

// term is that of whoever leads.
func (ch *churn) term() (term uint64) {
	ch.t.Helper()
	await(ch.t, "a leader's term", func() error {
		s, err := ch.c.leader().status()
		term = s.Term
		return err
	})
	return term
}

// join adds a member and returns once it votes.
func (ch *churn) join(more ...string) {
	ch.t.Helper()
	via := ch.c.leader().HTTP
	ch.joined++
	node := ch.c.node(fmt.Sprintf("n%d", ch.joined+3))
	node.args = append(node.args, append([]string{"--join", "http://" + via}, more...)...)
	node.start(ch.t)
	node.awaitReady(ch.t)
	ch.c.awaitVoter(node.ID)
}

// drop kills a member for good.
func (ch *churn) drop(gone *Node) {
	ch.t.Helper()
	gone.kill(ch.t)
	ch.c.Nodes = slices.DeleteFunc(ch.c.Nodes, func(n *Node) bool { return n == gone })
}

// awaitGone waits until a member is none any more, in the log and in the registry.
func (c *Cluster) awaitGone(id string) {
	c.t.Helper()
	c.awaitMembers(id+" is gone", func(members []wire.Member) bool {
		return !slices.ContainsFunc(members, func(m wire.Member) bool { return m.ID == id })
	})
}
