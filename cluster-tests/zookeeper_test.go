package clustertests

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/log/zklog/zktest"
)

// zkSession is after how much silence ZooKeeper takes a node for dead.
const zkSession = 8 * zktest.Tick

// newOnZooKeeper starts n nodes that share a root on an ensemble.
func newOnZooKeeper(t *testing.T, e *zktest.Ensemble, n int) *Cluster {
	t.Helper()
	return newUnfounded(t, n, "--log", "zookeeper", "--zookeeper", rootOf(t, e.Addresses()),
		"--zookeeper-session", zkSession.String(), "--snapshot-bytes", "65536")
}

// rootOf names the test's root on servers.
func rootOf(t *testing.T, servers []string) string {
	return strings.Join(servers, ",") + "/" + strings.ToLower(t.Name())
}

// Each fault of an ensemble of three under writers: its leader is killed, one server stands still, all are restarted,
// and the registry's leader stands still, or is cut off from the ensemble, for longer than its session. Nothing
// acknowledged is lost, nothing answered with "no" is there, and all nodes agree.
func TestZooKeeperFaults(t *testing.T) {
	t.Parallel()
	e := zktest.Start(t, 3)
	c := newOnZooKeeper(t, e, 3)
	w := c.write(4, 2*time.Second)
	w.more(100)

	dead := e.Leader(t)
	dead.Kill(t)
	w.more(50)
	dead.Restart(t)
	e.AwaitServing(t)

	for _, s := range e.Servers {
		s.Pause()
		w.more(50)
		s.Resume()
		e.AwaitServing(t)
	}

	for _, s := range e.Servers {
		s.Kill(t)
	}
	for _, s := range e.Servers {
		s.Restart(t)
	}
	w.more(50)

	leader := c.leader()
	leader.signal(syscall.SIGSTOP)
	w.more(50) // another one leads, so the session is over
	leader.signal(syscall.SIGCONT)
	w.more(50)

	cut, ways := c.joinByRelays(t, e)
	w.more(50)
	var mend []func()
	for _, way := range ways {
		mend = append(mend, way.cut())
	}
	w.more(50) // another one leads
	if now := c.leader(); now == cut {
		t.Errorf("%s leads, and is cut off from what it keeps its log in", cut.ID)
	}
	for _, whole := range mend {
		whole() // what it sent meanwhile arrives now
	}
	w.more(50)
	w.stop()
	c.agree()
	w.holds(c)
}

// joinByRelays adds a node that reaches each server by a way of its own, and has it lead.
func (c *Cluster) joinByRelays(t *testing.T, e *zktest.Ensemble) (node *Node, ways []*relay) {
	t.Helper()
	var addresses []string
	for _, server := range e.Addresses() {
		way := relayTo(t, server)
		ways, addresses = append(ways, way), append(addresses, way.address)
	}
	node = c.node("relayed")
	node.args = append(node.args, "--zookeeper", rootOf(t, addresses))
	node.start(t)
	node.awaitReady(t)
	cl := c.client()
	await(t, node.ID+" leads", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return cl.Lead(ctx, node.ID)
	})
	return node, ways
}
