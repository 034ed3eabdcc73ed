package liveness

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
)

// The registration flows of the Mesos master, each by the step that it has in section 4.4 of the semantics.

// register has an agent register, and fails unless it comes to this.
func register(n *node, agent fsm.AgentObject, action Action, code fsm.Code) Registration {
	n.t.Helper()
	r, err := n.Register(n.t.Context(), agent, "test")
	if err != nil || r.Action != action || r.Code != code {
		n.t.Fatalf("agent %s: %+v, %v; want %s %s", agent.ID, r, err, action, code)
	}
	return r
}

func framework(id string, failover time.Duration) fsm.FrameworkObject {
	return fsm.FrameworkObject{ID: id, Info: fsm.Info(`{"id":"` + id + `"}`), Failover: fsm.Duration(failover)}
}

// A new agent: admitted once, by whom is recorded, and it is watched from then on.
func TestFlowNewAgent(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		r := register(n, agent("a1"), Admitted, "")
		record, ok := n.registrar.State().Agent("a1")
		if !ok || record.Index != r.Index || record.By != "test" {
			n.t.Fatalf("%+v", record)
		}
		n.beat(74*time.Second, nil)
		n.want()
		n.beat(2*time.Second, nil)
		n.want() // alone it is all of the cluster: more than the limit
		n.wantAlarm(LimitAlarm)
	})
}

// New agent, step 3: its machine is down for maintenance. It is refused, and admitted once the machine is up.
func TestFlowMachineDown(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		machines := []fsm.MachineID{{Hostname: "HOST-a1"}}
		window := fsm.Window{Machines: machines, Unavailability: fsm.Unavailability{Start: fsm.TimeOf(time.Now())}}
		n.do(fsm.ScheduleMaintenance{Windows: []fsm.Window{window}})
		register(n, agent("a1"), Admitted, "") // draining machines still take agents
		n.do(fsm.RemoveAgent{ID: "a1"}, fsm.StartMaintenance{Machines: machines})
		before := n.registrar.State().Index()
		register(n, agent("a1"), Refused, CodeMachineDown)
		if n.registrar.State().Index() != before {
			n.t.Error("a refusal was written")
		}
		n.do(fsm.StopMaintenance{Machines: machines})
		register(n, agent("a1"), Admitted, "")
	})
}

// New agent, step 4: the address belongs to another id. While that one is heard from, the new one is refused and told
// which; once it is silent, it is removed and the new one admitted in one entry. Two that come to an address at
// once take turns. An agent known only from before a change of leader does not keep its address (MESOS-5396).
func TestFlowSameAddress(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		register(n, agentAt("old", "Host", 5051), Admitted, "")
		register(n, agentAt("elsewhere", "host", 5052), Admitted, "")
		if r := register(n, agentAt("new", "hOST", 5051), Refused, CodeAddressTaken); r.Holder != "old" {
			n.t.Errorf("%+v", r)
		}
		n.beat(time.Minute, []string{"elsewhere"}) // old misses its heartbeats, and is not due yet
		r := register(n, agentAt("new", "host", 5051), Admitted, "")
		if _, ok := n.registrar.State().Agent("old"); ok {
			n.t.Error("the silent holder is still there")
		}
		changes, _ := n.registrar.State().Changes(r.Index - 1)
		var kinds []fsm.Kind
		for c := range changes {
			kinds = append(kinds, c.Kind)
		}
		if len(kinds) != 2 || kinds[0] != "agent.remove" || kinds[1] != "agent.admit" {
			n.t.Errorf("%q in the entry", kinds)
		}

		answers := make(chan Registration, 2)
		for _, id := range []string{"x", "y"} {
			go func() {
				r, err := n.Register(n.t.Context(), agentAt(id, "twin", 1), "test")
				if err != nil {
					n.t.Error(err)
				}
				answers <- r
			}()
		}
		if one, two := <-answers, <-answers; (one.Action == Admitted) == (two.Action == Admitted) {
			n.t.Errorf("%+v and %+v", one, two)
		}
	})
	t.Run("known from before", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			storage := new(memlog.Storage)
			a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
			defer b.stop()
			register(a, agentAt("old", "host", 5051), Admitted, "")
			a.stop()
			synctest.Wait()
			b.beat(2*time.Minute, nil)
			register(b, agentAt("new", "host", 5051), Admitted, "")
			if _, ok := b.registrar.State().Agent("old"); ok {
				t.Error("the holder that was never heard from is still there")
			}
		})
	})
}

// New agent, step 5: an id that is known already is a returning agent, whoever asks; so there are no collisions.
// Returning agent, steps 3 and 4: unchanged info writes nothing (MESOS-7711), changed info is an update, drain and
// deactivation stay as they are; so also after a change of leader.
func TestFlowReturningAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
		defer b.stop()
		register(a, agent("a1"), Admitted, "")
		register(a, agent("a2"), Admitted, "")
		a.do(fsm.DrainAgent{ID: "a1"}, fsm.DeactivateAgent{ID: "a2"})
		before := a.registrar.State().Index()
		register(a, agent("a1"), Unchanged, "")
		if index := a.registrar.State().Index(); index != before {
			t.Errorf("unchanged, and index %d became %d", before, index)
		}
		a.stop()
		synctest.Wait()
		before = b.registrar.State().Index()
		register(b, agent("a1"), Unchanged, "")
		if index := b.registrar.State().Index(); index != before {
			t.Errorf("unchanged after a change of leader, and index %d became %d", before, index)
		}
		register(b, agentAt("a1", "host-a1", 6000), Updated, "")
		record, _ := b.registrar.State().Agent("a1")
		if record.Drain == nil || record.Drain.State != fsm.Draining || !record.Deactivated {
			t.Errorf("the drain was lost: %+v", record)
		}
		register(b, agentAt("a2", "host-a2", 6000), Updated, "")
		if record, _ := b.registrar.State().Agent("a2"); !record.Deactivated {
			t.Errorf("the deactivation was lost: %+v", record)
		}
		if r := b.Removals(); r.Awaited != 0 {
			t.Errorf("%d are awaited, though all have registered", r.Awaited)
		}
	})
}

// Returning agent, step 5: an unreachable one comes back with its drain; one that was pruned is as new.
func TestFlowUnreachableReturns(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		register(n, agent("a1"), Admitted, "")
		n.do(fsm.DrainAgent{ID: "a1", MarkGone: true}, fsm.MarkUnreachable{ID: "a1"})
		register(n, agentAt("a1", "host-a1", 6000), Returned, "")
		record, _ := n.registrar.State().Agent("a1")
		if record.Phase != fsm.Admitted || record.Drain == nil || !record.Drain.MarkGone {
			n.t.Errorf("%+v", record)
		}
		n.do(fsm.MarkUnreachable{ID: "a1"}, fsm.PruneAgents{Unreachable: []string{"a1"}})
		register(n, agent("a1"), Admitted, "")
		if record, _ := n.registrar.State().Agent("a1"); record.Drain != nil {
			n.t.Errorf("a pruned agent's drain came back: %+v", record)
		}
	})
}

// Returning agent, step 1: a gone one is refused for good, by every leader, and is told so by its heartbeats. One that
// is marked gone while it is awaited is awaited no more (MESOS-9739).
func TestFlowGoneIsRefusedForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
		defer b.stop()
		a.admit("a1", "a2", "a3")
		a.do(fsm.MarkGone{ID: "a1"})
		register(a, agent("a1"), Refused, fsm.AgentGone)
		a.stop()
		synctest.Wait()
		register(b, agent("a1"), Refused, fsm.AgentGone)
		b.do(fsm.MarkGone{ID: "a2"})
		if r := b.Removals(); r.Awaited != 1 || r.Admitted != 1 {
			t.Errorf("%+v", r)
		}
		heard, err := b.Heard([]string{"a1", "a2"})
		if err != nil || len(heard.Gone) != 2 {
			t.Errorf("%+v, %v", heard, err)
		}
	})
}

// An agent registers while its removal is being proposed: it waits for the outcome, and comes back. No second
// removal follows (FailHealthChecksTwice, MESOS-10209).
func TestFlowReturnsWhileBeingMarked(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(4)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		began, goOn := make(chan struct{}), make(chan struct{})
		n.log.OnPropose(func(ctx, []byte) memlog.Fate {
			n.log.OnPropose(nil)
			close(began)
			<-goOn
			return memlog.Append
		})
		n.beat(80*time.Second, ids[1:])
		<-began
		heard, err := n.Heard(ids[:1])
		if err != nil || len(heard.Unreachable) != 1 {
			n.t.Errorf("a heartbeat that came too late: %+v, %v", heard, err)
		}
		answered := make(chan Registration, 1)
		go func() {
			r, err := n.Register(n.t.Context(), agent(ids[0]), "test")
			if err != nil {
				n.t.Error(err)
			}
			answered <- r
		}()
		synctest.Wait()
		select {
		case r := <-answered:
			n.t.Fatalf("answered before the outcome was known: %+v", r)
		default:
		}
		close(goOn)
		if r := <-answered; r.Action != Returned {
			n.t.Errorf("%+v", r)
		}
		n.beat(time.Hour, ids)
		n.want()
		if r := n.Removals(); r.Marked != 1 {
			n.t.Errorf("%d were marked, want 1", r.Marked)
		}
	})
}

// An operator changes the agent between the look at the registry and the write: the flow starts over and comes to
// what is true then (D15, RecoveredSlaveReregisterThenUnreachableRace).
func TestFlowOvertaken(t *testing.T) {
	for _, c := range []struct {
		name string
		op   fsm.Op
		want Action
		code fsm.Code
	}{
		{"removed", fsm.RemoveAgent{ID: "a1"}, Admitted, ""},
		{"unreachable", fsm.MarkUnreachable{ID: "a1"}, Returned, ""},
		{"gone", fsm.MarkGone{ID: "a1"}, Refused, fsm.AgentGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone(t, Defaults(), func(n *node) {
				n.admit("a1")
				n.log.OnPropose(func(ctx, []byte) memlog.Fate {
					n.log.OnPropose(nil)
					return memlog.Drop // what was planned does not happen, and an operator is quicker
				})
				if _, err := n.Register(n.t.Context(), agentAt("a1", "h", 1), "test"); err == nil {
					n.t.Fatal("a dropped proposal was answered")
				}
				began, goOn := make(chan struct{}), make(chan struct{})
				answered := make(chan Registration, 1)
				synctest.Wait() // for the next reign
				n.registrar.Next()
				first := true
				n.log.OnPropose(func(ctx, []byte) memlog.Fate {
					if first {
						first = false
						close(began)
						<-goOn
					}
					return memlog.Append
				})
				go func() { // holds the writer, so that the two below wait in line
					_, _ = n.registrar.Apply(n.t.Context(), fsm.RemoveAgent{ID: "nobody"})
				}()
				<-began
				done := make(chan error, 1)
				go func() {
					_, err := n.registrar.Apply(n.t.Context(), c.op)
					done <- err
				}()
				synctest.Wait()
				go func() {
					r, err := n.Register(n.t.Context(), agentAt("a1", "h", 1), "test")
					if err != nil {
						n.t.Error(err)
					}
					answered <- r
				}()
				synctest.Wait()
				close(goOn)
				if err := <-done; err != nil {
					n.t.Fatal(err)
				}
				if r := <-answered; r.Action != c.want || r.Code != c.code {
					n.t.Errorf("%+v, want %s %s", r, c.want, c.code)
				}
			})
		})
	}
}

// Frameworks that are disconnected have the remaining part of their failover timeout under the next leader, after a
// window in which schedulers find it; completed ones are refused for good.
func TestFailoverTimeoutGoesOnOverAChangeOfLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
		defer b.stop()
		a.do(fsm.AdmitFramework{Framework: framework("long", time.Hour)}, fsm.AdmitFramework{Framework: framework("short", time.Minute)},
			fsm.AdmitFramework{Framework: framework("active", time.Minute)}, fsm.DisconnectFramework{ID: "long"})
		a.beat(30*time.Minute, nil)
		a.do(fsm.DisconnectFramework{ID: "short"})
		a.stop()
		synctest.Wait()
		state := func(id string) fsm.FrameworkState {
			f, _ := b.registrar.State().Framework(id)
			return f.State
		}
		b.beat(9*time.Minute, nil)
		if state("short") != fsm.FrameworkDisconnected {
			t.Error("short was completed within the window")
		}
		b.beat(2*time.Minute, nil)
		if state("short") != fsm.FrameworkCompleted || state("long") != fsm.FrameworkDisconnected {
			t.Errorf("after the window: short %s, long %s", state("short"), state("long"))
		}
		b.beat(17*time.Minute, nil) // 58 minutes in all
		if state("long") != fsm.FrameworkDisconnected {
			t.Error("long was completed too early")
		}
		b.beat(3*time.Minute, nil)
		if state("long") != fsm.FrameworkCompleted || state("active") != fsm.FrameworkActive {
			t.Errorf("after an hour: long %s, active %s", state("long"), state("active"))
		}
		_, err := b.registrar.Apply(t.Context(), fsm.AdmitFramework{Framework: framework("long", time.Hour)})
		var rejection *fsm.Rejection
		if !errors.As(err, &rejection) || rejection.Code != fsm.Completed {
			t.Errorf("a completed framework was admitted again: %v", err)
		}
	})
}
