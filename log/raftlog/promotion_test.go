package raftlog_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/armon/go-metrics"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
)

// dispatched is told of every entry that raft has sent to the others, from within its main loop.
type dispatched struct {
	metrics.BlackholeSink
	tell func()
}

func (d *dispatched) AddSampleWithLabels(key []string, _ float32, _ []metrics.Label) {
	if slices.Equal(key, []string{"raft", "leader", "dispatchLog"}) {
		d.tell()
	}
}

// A learner that confirms the entry which makes it a voter before raft counts it among the voters is a voter all the
// same, without a further proposal. The library forgets what it confirmed, and where its vote is needed, because
// another voter is down, that entry would wait for the next one. The test is alone: raft's metrics are the process's.
func TestALearnerThatConfirmsItsPromotionAtOnceIsCounted(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) { cfg.HeartbeatTimeout = time.Second } // nobody is deposed meanwhile
	c.startAll()
	c.lead("n1")
	c.agree(c.propose("before"))
	c.stop("n3")
	n1 := c.members["n1"]
	n4 := func() log.Replica { return n1.listed(t, "n4") }
	held := 0
	config := metrics.DefaultConfig("")
	config.EnableHostname, config.EnableRuntimeMetrics, config.EnableTypePrefix = false, false, false
	hold := &dispatched{tell: func() {
		// Only the entry that promotes it is sent while it is a learner. It has confirmed that, and raft has taken it
		// in, once it has answered some times more. n2 must not: the entry would be committed by the voters of before.
		for last := n1.Status().Last; held < 4; held++ {
			progressed := n1.peer.Progressed()
			r := n4()
			switch {
			case r.ID == "" || r.Voter:
				return
			case r.Match < last:
				held = 0
			}
			c.cuts.isolate("n2", "n1")
			<-progressed
		}
		c.cuts.heal()
	}}
	if _, err := metrics.NewGlobal(config, hold); err != nil {
		t.Fatal(err)
	}
	defer metrics.NewGlobal(config, &metrics.BlackholeSink{})
	c.join("n4")
	eventually(t, "n4 is a voter", func() bool { return n4().Voter })
	eventually(t, "that is committed", func() bool { s := n1.Status(); return s.Commit == s.Last })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := n1.ReadIndex(ctx); err != nil {
		t.Errorf("a read, before anything more is proposed: %v", err)
	}
	if held == 0 {
		t.Error("raft was not held, and nothing is proved")
	}
}
