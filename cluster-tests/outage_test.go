package clustertests

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
)

// outageRounds is how often each outage is made: OUTAGE_ROUNDS, for figures and then without the race detector, or
// once, to see that it ends.
func outageRounds() int {
	if n, err := strconv.Atoi(os.Getenv("OUTAGE_ROUNDS")); err == nil {
		return n
	}
	return 1
}

// The leader's process is killed, paused, or cut off, or its disk stands still, and a client that writes without a pause
// waits for its next answer. Nothing is asserted of how long it waits; that is printed.
func TestOutage(t *testing.T) {
	loopback := func(*testing.T, *Cluster) {}
	for _, outage := range []struct {
		name string
		on   func(*testing.T, *Cluster) // what the nodes have beside processes
		make func(*testing.T, *Cluster, *Node)
		mend func(*testing.T, *Cluster, *Node)
	}{
		{"killed", loopback, func(t *testing.T, _ *Cluster, n *Node) { n.kill(t) }, func(t *testing.T, _ *Cluster, n *Node) { n.restart(t) }},
		{"paused", loopback, func(_ *testing.T, _ *Cluster, n *Node) { n.signal(syscall.SIGSTOP) }, func(_ *testing.T, _ *Cluster, n *Node) { n.signal(syscall.SIGCONT) }},
		{"cut off", onNetwork, func(_ *testing.T, c *Cluster, n *Node) { c.net.pull(n.ID) }, func(_ *testing.T, c *Cluster, n *Node) { c.net.plug(n.ID) }},
		{"on a frozen disk", onDisks, func(_ *testing.T, c *Cluster, n *Node) { c.disks.freeze(n.ID, patience) }, func(t *testing.T, c *Cluster, n *Node) {
			c.disks.thaw()
			n.kill(t) // it ends by itself, but when is its own affair
			n.restart(t)
		}},
	} {
		t.Run(outage.name, func(t *testing.T) {
			c := &Cluster{t: t}
			outage.on(t, c)
			if os.Getenv("OUTAGE_ROUNDS") != "" {
				c.binary = plainBinary(t) // figures are of the program that people run
			}
			c.found(3)
			p := c.pulse()
			var waits []time.Duration
			for range outageRounds() {
				p.beats(t, time.Now())
				leader := c.leader()
				began := time.Now()
				outage.make(t, c, leader)
				waits = append(waits, p.beats(t, time.Now()).Sub(began))
				outage.mend(t, c, leader)
				c.agreeRoughly(leader)
			}
			slices.Sort(waits)
			t.Logf("leader %s, %d rounds: median %s, worst %s", outage.name, len(waits), waits[len(waits)/2], waits[len(waits)-1])
			p.stop()
			c.agree()
		})
	}
}

// onNetwork gives each node a host of its own.
func onNetwork(t *testing.T, c *Cluster) {
	if why := noNetwork(); why != "" {
		t.Skip(why)
	}
	c.net = newNetwork(t)
}

// onDisks gives each node a disk of its own.
func onDisks(t *testing.T, c *Cluster) {
	if why := noDisks(); why != "" {
		t.Skip(why)
	}
	c.disks = newDisks(t, 2048) // a log that is cut short begins another file of 64 MiB
}

// pulse is a client that writes without a pause.
type pulse struct {
	stop func()

	mu    sync.Mutex
	last  time.Time // of an answer
	began time.Time // of what it answered
}

func (c *Cluster) pulse() *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p, cl := &pulse{}, c.client()
	var done sync.WaitGroup
	p.stop = func() { cancel(); done.Wait() }
	c.t.Cleanup(p.stop)
	done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			began := time.Now()
			op := fsm.UpdateWeights{Weights: []fsm.Weight{{Role: fmt.Sprintf("r%d", n%100), Weight: float64(n + 1)}}}
			attempt, done := context.WithTimeout(context.Background(), patience)
			_, err := cl.Apply(attempt, op)
			done()
			if err != nil {
				c.t.Error(err)
				return
			}
			p.mu.Lock()
			p.last, p.began = time.Now(), began
			p.mu.Unlock()
		}
	})
	return p
}

// beats waits for an answer after the moment given, and returns when it came. What was on its way to the client at
// that moment is read within the slack.
func (p *pulse) beats(t testing.TB, after time.Time) (at time.Time) {
	t.Helper()
	const slack = 5 * time.Millisecond
	deadline := time.Now().Add(patience)
	for {
		p.mu.Lock()
		last, began := p.last, p.began
		p.mu.Unlock()
		if began.After(after) || last.After(after.Add(slack)) {
			return last
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer in %s", patience)
		}
		<-time.After(time.Millisecond)
	}
}

// agreeRoughly waits until a node follows again, close behind.
func (c *Cluster) agreeRoughly(node *Node) {
	c.t.Helper()
	await(c.t, node.ID+" follows again", func() error {
		s, err := node.status()
		if err != nil {
			return err
		}
		leader, err := c.leader().status()
		if err == nil && (s.Leader != leader.ID || s.Term != leader.Term || s.Index+1000 < leader.Index) {
			err = fmt.Errorf("%+v, and the leader is %+v", s, leader)
		}
		return err
	})
}

// A firewall in front of the leader that answers one follower with resets makes the leader look dead to that one
// alone: its connections are reset and it is refused. Nobody stands while the other follower hears the leader.
func TestRejectingFirewallDeposesNobody(t *testing.T) {
	c := newClusterOn(t, 3)
	w := c.write(2, patience)
	w.more(20)
	leader := c.leader()
	before, err := leader.status()
	if err != nil {
		t.Fatal(err)
	}
	alone := c.Nodes[(slices.Index(c.Nodes, leader)+1)%3]
	c.net.reject(leader.ID, alone.ID)
	await(t, alone.ID+" has lost the leader", func() error {
		s, err := alone.status()
		if err == nil && s.Leader != "" {
			err = fmt.Errorf("it still follows %s", s.Leader)
		}
		return err
	})
	w.more(100)
	c.net.heal()
	w.more(20)
	w.stop()
	c.agree()
	if after, err := leader.status(); err != nil || after.Role != "leader" || after.Term != before.Term {
		t.Errorf("%s is %+v after it was %+v, %v", leader.ID, after, before, err)
	}
	w.holds(c)
}
