package clustertests

import (
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
	return newUnfounded(t, n, "--log", "zookeeper", "--zookeeper", strings.Join(e.Addresses(), ",")+"/"+strings.ToLower(t.Name()),
		"--zookeeper-session", zkSession.String(), "--snapshot-bytes", "65536")
}

// Each fault of an ensemble of three under writers: its leader is killed, one server stands still, all are restarted,
// and the registry's leader stands still for longer than its session. Nothing acknowledged is lost, nothing answered
// with "no" is there, and all nodes agree.
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
	w.stop()
	c.agree()
	w.holds(c)
}
