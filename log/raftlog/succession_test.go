package raftlog_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// endless is a heartbeat timeout that no test lives to see: whoever is elected was not waited for.
const endless = 3 * patience

// crown has n1 elected in a cluster that would wait for long.
func (c *cluster) crown() context.Context {
	c.t.Helper()
	c.stand("n1")
	reign, err := c.leaderAmong("n1").Lead(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return reign
}

// A leader whose listener and connections are gone is succeeded without a wait.
func TestADeadLeaderIsSucceededAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) { cfg.HeartbeatTimeout = endless }
	c.succeeded()
}

// In a cluster of five two may stand at once, where the others agree with both before those know of each other, and both
// may lose; a timeout decides then. Somebody has stood without one.
func TestADeadLeaderOfFiveIsSucceeded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3", "n4", "n5")
	var said lines
	c.adjust = func(cfg *raftlog.Config) {
		cfg.HeartbeatTimeout = patience / 6
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &said, Level: hclog.Info})
	}
	c.succeeded()
	if !said.contains("standing for election") {
		t.Error("nobody stood before the timeout")
	}
}

// succeeded has n1 lead and end, and another take its place.
func (c *cluster) succeeded() {
	c.t.Helper()
	c.startAll()
	c.crown()
	c.agree(c.propose("before"))
	c.stop("n1")
	if l := c.leader(); l.id == "n1" {
		c.t.Error("n1 leads, and is no more")
	}
	c.agree(c.propose("after"))
}

// liar is a transport that sees the leader dead whenever it is told to.
type liar struct {
	raftlog.Transport
	lies  *atomic.Bool
	asked *atomic.Int64 // how often it has asked the others
}

func (l *liar) Lost(id string) (time.Time, bool) {
	if l.lies.Load() {
		return time.Now(), true
	}
	return l.Transport.Lost(id)
}

func (l *liar) Losses() <-chan struct{} {
	lost := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(lost) })
	return lost
}

func (l *liar) Refused(ctx context.Context, addr string) bool {
	return l.lies.Load() || l.Transport.Refused(ctx, addr)
}

func (l *liar) Suspect(ctx context.Context, id, addr string, s transport.Suspicion) (transport.Opinion, error) {
	l.asked.Add(1)
	return l.Transport.Suspect(ctx, id, addr, s)
}

// One follower of two that sees its leader reset and refused asks the other, again and again, and does not stand; once
// the other sees the same, one of them does.
func TestOneFollowerOfTwoDeposesNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	liars := map[string]*liar{}
	c.adjust = func(cfg *raftlog.Config) {
		cfg.HeartbeatTimeout = endless
		l := &liar{Transport: cfg.Transport, lies: new(atomic.Bool), asked: new(atomic.Int64)}
		liars[cfg.ID], cfg.Transport = l, l
	}
	c.startAll()
	reign := c.crown()
	c.agree(c.propose("before"))
	liars["n3"].lies.Store(true)
	eventually(t, "n3 has asked and asked", func() bool { return liars["n3"].asked.Load() > 20 })
	c.agree(c.propose("meanwhile"))
	if reign.Err() != nil || c.members["n1"].Status().Role != "leader" {
		t.Fatalf("the reign has ended: %v", context.Cause(reign))
	}
	liars["n2"].lies.Store(true)
	select {
	case <-reign.Done():
	case <-time.After(patience):
		t.Error("both see it, and nobody stands: the test shows nothing")
	}
	liars["n2"].lies.Store(false)
	liars["n3"].lies.Store(false)
	c.agree(c.propose("after"))
}
