package liveness

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
)

// node is one member over a log in memory: all of it is real but the disk, the network and the time, which is
// that of a synctest bubble.
type node struct {
	*Watchman
	t         *testing.T
	log       *memlog.Log[fsm.Result]
	registrar *registrar.Registrar
	stop      func()

	stood atomic.Int64 // how far the process's clocks have gone while it stood still
	moved atomic.Int64 // by how much somebody has set its wall clock
}

// open starts a member of the log in storage; the first one leads. Call it in a bubble.
func open(t *testing.T, storage *memlog.Storage, id string, cfg Config) *node {
	t.Helper()
	n := &node{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(n.stood.Load() + n.moved.Load())) }
	machine := fsm.New()
	var err error
	if n.log, err = memlog.Open(memlog.Config{ID: id, Storage: storage}, machine); err != nil {
		t.Fatal(err)
	}
	of := registrar.Defaults(id)
	of.Now, of.QueueOps = now, 1<<20
	if n.registrar, err = registrar.New(of, n.log, machine); err != nil {
		t.Fatal(err)
	}
	cfg.Now = now
	if n.Watchman, err = New(cfg, n.registrar); err != nil {
		t.Fatal(err)
	}
	monotonic := n.clock.monotonic
	n.clock.monotonic = func() time.Duration { return monotonic() + time.Duration(n.stood.Load()) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.registrar.Run(ctx) }()
	n.stop = func() {
		cancel()
		<-ended
		_ = n.log.Close()
	}
	synctest.Wait()
	return n
}

// alone runs a test on one leader in a bubble.
func alone(t *testing.T, cfg Config, test func(n *node)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := open(t, new(memlog.Storage), "a", cfg)
		defer n.stop()
		test(n)
	})
}

// names makes count ids.
func names(count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("a%05d", i)
	}
	return ids
}

// agent is an agent at an address of its own.
func agent(id string) fsm.AgentObject { return agentAt(id, "host-"+id, 5051) }

func agentAt(id, hostname string, port uint16) fsm.AgentObject {
	object, err := fsm.AgentInfo{ID: id, Hostname: hostname, Port: port}.Object()
	if err != nil {
		panic(err)
	}
	return object
}

// do proposes operations, each of which must be accepted.
func (n *node) do(ops ...fsm.Op) {
	n.t.Helper()
	for batch := range slices.Chunk(ops, 500) {
		proposals := make([]fsm.Proposal, len(batch))
		for i, op := range batch {
			proposals[i].Op = op
		}
		result, err := n.registrar.Propose(n.t.Context(), proposals)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, outcome := range result.Outcomes {
			if outcome.Rejection != nil {
				n.t.Fatal(outcome.Rejection)
			}
		}
	}
}

// admit admits agents by hand.
func (n *node) admit(ids ...string) {
	n.t.Helper()
	ops := make([]fsm.Op, len(ids))
	for i, id := range ids {
		ops[i] = fsm.AdmitAgent{Agent: agent(id)}
	}
	n.do(ops...)
}

// beat has agents send their heartbeats for a while, each at its own second of fifteen.
func (n *node) beat(d time.Duration, ids []string) {
	n.t.Helper()
	var turns [15][]string
	for i, id := range ids {
		turns[i%15] = append(turns[i%15], id)
	}
	for second := range int(d / time.Second) {
		heard, err := n.Heard(turns[second%15])
		if err == nil && len(heard.Unknown)+len(heard.Gone)+len(heard.Unreachable) > 0 {
			n.t.Fatalf("after %ds: %+v", second, heard)
		}
		sleep(time.Second)
	}
}

// sleep lets virtual time pass, and everything happen that happens at its end.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// unreachable lists who is, in ID order.
func (n *node) unreachable() (ids []string) {
	for agent := range n.registrar.State().Agents(fsm.Unreachable, "") {
		ids = append(ids, agent.ID)
	}
	return ids
}

// want fails unless exactly these are unreachable.
func (n *node) want(ids ...string) {
	n.t.Helper()
	if got := n.unreachable(); !slices.Equal(got, ids) {
		n.t.Fatalf("%d are unreachable, want %d: %.200q, want %.200q", len(got), len(ids), got, ids)
	}
}

// wantAlarm fails unless the alarm is this one.
func (n *node) wantAlarm(alarm Alarm) {
	n.t.Helper()
	if r := n.Removals(); r.Alarm != alarm {
		n.t.Fatalf("alarm %q, want %q: %+v", r.Alarm, alarm, r)
	}
}
