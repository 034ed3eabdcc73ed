package liveness

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/memlog"
)

// A leader dies together with one agent in a hundred. The next leader waits the whole window, in which the others
// come back one after the other, and then has exactly the dead ones marked, at the removal rate.
func TestNewLeaderMarksExactlyThoseWhoDied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults()
		cfg.RemovalRate = Rate{100, time.Minute}
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", cfg), open(t, storage, "b", cfg)
		defer b.stop()
		ids := names(35_000)
		a.admit(ids...)
		a.beat(2*time.Minute, ids)
		a.want()
		a.stop()
		synctest.Wait()

		var dead, alive []string
		for i, id := range ids {
			if i%100 == 42 {
				dead = append(dead, id)
			} else {
				alive = append(alive, id)
			}
		}
		began, back := time.Now(), 0
		for back < len(alive) { // 60 come back each second, which takes most of the window
			for _, id := range alive[back:min(back+60, len(alive))] {
				if id[len(id)-1] == '7' {
					register(b, agent(id), Unchanged, "")
				}
				back++
			}
			b.beat(time.Second, nil)
			if _, err := b.Heard(alive[:back]); err != nil {
				t.Fatal(err)
			}
		}
		b.want()
		b.beat(cfg.Window-time.Since(began)-time.Second, alive)
		b.want()
		b.beat(time.Duration(len(dead))*cfg.RemovalRate.Per/100+2*time.Second, alive)
		b.want(dead...)
		b.beat(10*time.Minute, alive)
		b.want(dead...)

		changes, _ := b.registrar.State().Changes(0)
		var times []time.Time
		for change := range changes {
			if change.Kind != "agent.unreachable" {
				continue
			}
			if change.By != author || !strings.Contains(change.Reason, "after a change of leader") {
				t.Fatalf("by %q because %q", change.By, change.Reason)
			}
			times = append(times, change.Time.Time())
		}
		for i := 101; i < len(times); i++ {
			if span := times[i].Sub(times[i-101]); span < time.Minute {
				t.Fatalf("102 were marked within %s", span)
			}
		}
	})
}

// With more missing than the limit nobody is marked, for as long as it lasts, and an alarm stands. Those who come
// back end it; then the rest is marked.
func TestNobodyIsMarkedAboveTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
		defer b.stop()
		ids := names(1000)
		a.admit(ids...)
		a.stop()
		synctest.Wait()
		b.beat(9*time.Minute, ids[600:])
		b.wantAlarm(NoAlarm)
		b.beat(3*time.Hour, ids[600:])
		b.want()
		b.wantAlarm(LimitAlarm)
		if r := b.Removals(); r.Missing != 600 || r.Waiting != 600 || r.Awaited != 600 || r.Since.IsZero() || !strings.Contains(r.Message, "600 of 1000") {
			t.Errorf("%+v", r)
		}
		b.beat(time.Minute, ids[500:])
		b.want(ids[:500]...)
		b.wantAlarm(NoAlarm)
		if r := b.Removals(); r.Spared != 100 {
			t.Errorf("%d were spared, want 100", r.Spared)
		}
	})
}

// Who fell silent is marked once it has missed its heartbeats, not earlier and not a tick later; who did not is
// left alone.
func TestSilenceIsNoticedInTime(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(30)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		silent := time.Now()
		if _, err := n.Heard(ids[:1]); err != nil {
			n.t.Fatal(err)
		}
		n.beat(74*time.Second, ids[15:])
		// Beats of the first fifteen ended at different seconds before; a0 was heard from last of all.
		n.want(ids[1:15]...)
		n.beat(2*time.Second, ids[15:])
		n.want(ids[:15]...)
		record, _ := n.registrar.State().Agent(ids[0])
		if late := record.At.Time().Sub(silent); late < 75*time.Second || late > 76*time.Second {
			n.t.Errorf("marked after %s", late)
		}
		if record.By != author || record.Reason != "missed 5 heartbeats: silent for 1m15s" {
			n.t.Errorf("by %q because %q", record.By, record.Reason)
		}
		n.wantAlarm(NoAlarm)
	})
}

// A switch breaks and most agents fall silent in the same moment: their heartbeats end spread over fifteen seconds,
// and yet not one of them is marked before all of them are counted.
func TestSuddenSilenceOfMostMarksNobody(t *testing.T) {
	for _, phase := range []time.Duration{0, 3 * time.Second, 7 * time.Second, 14 * time.Second} {
		t.Run(phase.String(), func(t *testing.T) {
			alone(t, Defaults(), func(n *node) {
				ids := names(300)
				n.admit(ids...)
				n.beat(2*time.Minute+phase, ids)
				n.beat(time.Hour, ids[:140])
				n.want()
				n.wantAlarm(LimitAlarm)
				n.beat(2*time.Minute, ids)
				n.want()
				n.wantAlarm(NoAlarm)
			})
		})
	}
}

// Waves of deaths, each of which is below the limit, are counted together within a window.
func TestWavesCountTogether(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(100)
		n.admit(ids...)
		n.beat(2*time.Minute, ids)
		n.beat(3*time.Minute, ids[40:])
		n.want(ids[:40]...)
		n.beat(3*time.Minute, ids[60:])
		n.want(ids[:40]...)
		n.wantAlarm(LimitAlarm)
		// Once the first wave is a window ago, the second is 20 of 60.
		n.beat(8*time.Minute, ids[60:])
		n.want(ids[:60]...)
		n.wantAlarm(NoAlarm)
	})
}

// Approving marks those who are missing, and only them: who falls silent later meets the limit again, and who is
// heard from before its turn is spared.
func TestApproveIsForThoseMissing(t *testing.T) {
	cfg := Defaults()
	cfg.RemovalRate = Rate{1, time.Second}
	alone(t, cfg, func(n *node) {
		ids := names(1000)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		n.beat(5*time.Minute, ids[600:])
		n.want()
		n.wantAlarm(LimitAlarm)
		if err := n.Approve(); err != nil {
			n.t.Fatal(err)
		}
		n.beat(10*time.Second, ids[600:])
		marked := len(n.unreachable())
		if marked < 10 || marked > 12 {
			n.t.Fatalf("%d were marked within 10s", marked)
		}
		late := slices.Clone(ids[600:])
		for _, id := range ids[300:600] { // half of them are back
			if _, ok := n.registrar.State().Agent(id); ok && n.phase(id) == fsm.Admitted {
				late = append(late, id)
			}
		}
		if _, err := n.Heard(late); err != nil {
			n.t.Fatal(err)
		}
		n.beat(10*time.Minute, late)
		if got := len(n.unreachable()); got != len(ids)-len(late) {
			n.t.Fatalf("%d were marked, want %d", got, len(ids)-len(late))
		}
		n.wantAlarm(NoAlarm)
		n.beat(10*time.Minute, late[:50])
		n.wantAlarm(LimitAlarm)
	})
}

// Hold keeps everybody until Approve.
func TestHoldKeepsEverybody(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(10)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		if err := n.Hold(); err != nil {
			n.t.Fatal(err)
		}
		n.wantAlarm(HoldAlarm)
		n.beat(time.Hour, ids[1:])
		n.want()
		n.wantAlarm(HoldAlarm)
		if err := n.Approve(); err != nil {
			n.t.Fatal(err)
		}
		sleep(0)
		n.want(ids[0])
		n.wantAlarm(NoAlarm)
	})
}

// Whoever waits for its turn behind a slow rate and is heard from is left alone, and the turn is the next one's.
func TestHeardWhileWaiting(t *testing.T) {
	cfg := Defaults()
	cfg.RemovalRate = Rate{1, 10 * time.Minute}
	alone(t, cfg, func(n *node) {
		ids := names(10)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		n.beat(3*time.Minute, ids[3:])
		n.want(ids[0])
		if r := n.Removals(); r.Waiting != 2 {
			n.t.Fatalf("%+v", r)
		}
		back := append([]string{ids[1]}, ids[3:]...)
		n.beat(10*time.Minute, back)
		n.want(ids[0], ids[2])
		n.beat(time.Hour, back)
		n.want(ids[0], ids[2])
		if r := n.Removals(); r.Spared != 1 || r.Marked != 2 || r.Waiting != 0 {
			n.t.Errorf("%+v", r)
		}
	})
}

// A passive watchman marks nobody and raises no alarm, and answers all the same.
func TestPassiveMarksNobody(t *testing.T) {
	cfg := Defaults()
	cfg.Passive = true
	alone(t, cfg, func(n *node) {
		n.admit(names(10)...)
		n.do(fsm.AdmitFramework{Framework: framework("f1", 0)}, fsm.DisconnectFramework{ID: "f1"})
		sleep(time.Hour)
		n.want()
		n.wantAlarm(NoAlarm)
		if f, _ := n.registrar.State().Framework("f1"); f.State != fsm.FrameworkDisconnected {
			n.t.Error("a framework was completed")
		}
		register(n, agent("new"), Admitted, "")
	})
}

// Everybody is told where it stands, whoever changed the registry.
func TestHeartbeatsAreAnsweredTruly(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		n.admit("fine", "unreachable", "gone", "removed", "back")
		n.do(fsm.MarkUnreachable{ID: "unreachable"}, fsm.MarkGone{ID: "gone"}, fsm.RemoveAgent{ID: "removed"},
			fsm.MarkUnreachable{ID: "back"}, fsm.ReachAgent{Agent: agent("back")})
		heard, err := n.Heard([]string{"fine", "never", "unreachable", "gone", "removed", "back"})
		if err != nil {
			n.t.Fatal(err)
		}
		if !slices.Equal(heard.Unknown, []string{"never", "removed"}) || !slices.Equal(heard.Unreachable, []string{"unreachable"}) ||
			!slices.Equal(heard.Gone, []string{"gone"}) {
			n.t.Errorf("%+v", heard)
		}
		if r := n.Removals(); r.Admitted != 2 || r.Awaited != 0 || r.Heartbeats != 2 {
			n.t.Errorf("%+v", r)
		}
	})
}

// Agents that somebody else admitted have the whole window to be heard from.
func TestAdmittedByHand(t *testing.T) {
	cfg := Defaults()
	cfg.RemovalLimit = 100
	alone(t, cfg, func(n *node) {
		n.admit("a1")
		n.beat(9*time.Minute, nil)
		n.want()
		n.beat(2*time.Minute, nil)
		n.want("a1")
	})
}

// Agents on machines that are down for maintenance are marked when they fall silent, but raise no alarm: a person
// took them down. Back up, and back on the roll, they count as before.
func TestMaintenanceRaisesNoAlarm(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(10)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		machines := make([]fsm.MachineID, 8)
		for i := range machines {
			machines[i].Hostname = "HOST-" + ids[i]
		}
		start := fsm.TimeOf(time.Now())
		n.do(fsm.ScheduleMaintenance{Windows: []fsm.Window{{Machines: machines, Unavailability: fsm.Unavailability{Start: start}}}},
			fsm.StartMaintenance{Machines: machines})
		register(n, agent(ids[0]), Refused, CodeMachineDown)
		n.beat(3*time.Minute, ids[8:])
		n.want(ids[:8]...)
		n.wantAlarm(NoAlarm)
		if record, _ := n.registrar.State().Agent(ids[3]); !strings.Contains(record.Reason, "maintenance") {
			n.t.Errorf("because %q", record.Reason)
		}
		n.do(fsm.StopMaintenance{Machines: machines})
		for _, id := range ids[:8] {
			register(n, agent(id), Returned, "")
		}
		n.beat(20*time.Minute, ids)
		n.want()
		n.beat(20*time.Minute, ids[8:])
		n.want()
		n.wantAlarm(LimitAlarm)
	})
}

// A proposal that fails is tried again with the next tick, and nobody is marked meanwhile.
func TestFailedProposalIsTriedAgain(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(4)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		refused := 0
		n.log.OnPropose(func(_ ctx, _ []byte) memlog.Fate {
			if refused++; refused <= 3 {
				return memlog.Drop
			}
			return memlog.Append
		})
		n.beat(55*time.Second, ids[1:]) // it was heard from at second 45 of the minute
		if refused != 0 {
			n.t.Fatal("a proposal came early")
		}
		n.beat(20*time.Second, ids[1:])
		n.want(ids[0])
		if refused != 4 {
			n.t.Errorf("%d proposals, want 4", refused)
		}
	})
}

// A lost reply is a "perhaps": the State says who was marked, and nobody is marked twice or held for ever.
func TestLostReply(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(4)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		n.log.OnPropose(func(ctx, []byte) memlog.Fate {
			n.log.OnPropose(nil)
			return memlog.LoseReply
		})
		n.beat(2*time.Minute, ids[1:])
		n.want(ids[0])
		register(n, agent(ids[0]), Returned, "")
		n.beat(time.Minute, ids)
		n.want()
	})
}

// A watchman that does not lead knows nothing and says so.
func TestOutsideAReign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", Defaults()), open(t, storage, "b", Defaults())
		defer a.stop()
		defer b.stop()
		_, heard := b.Heard(names(1))
		_, registered := b.Register(t.Context(), agent("a1"), "test")
		for _, err := range []error{heard, registered, b.Approve(), b.Hold()} {
			if !errors.Is(err, log.ErrNotLeader) {
				t.Errorf("%v", err)
			}
		}
		if r := b.Removals(); r != (Removals{}) {
			t.Errorf("%+v", r)
		}
	})
}

// A State that is further ahead than changes are kept is compared as a whole, with the same result.
func TestComparingEqualsFollowing(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(30)
		n.admit(ids[:20]...)
		n.do(fsm.AdmitFramework{Framework: framework("f1", time.Hour)}, fsm.DisconnectFramework{ID: "f1"})
		n.beat(time.Minute, ids[:20])
		state := n.registrar.State()
		n.mu.Lock()
		n.roll.drop(ids[3])                         // missed an admission
		n.roll.add("never", address{}, n.clock.now) // missed a removal
		n.roll.excuse(down{"host-" + ids[4]: true}) // missed the end of maintenance
		delete(n.absences, "f1")
		n.absences["f2"] = absence{}
		n.compare(state, n.clock.now)
		defer n.mu.Unlock()
		if len(n.roll.byID) != 20 || n.roll.awaited != 1 {
			n.t.Errorf("%d agents, %d awaited", len(n.roll.byID), n.roll.awaited)
		}
		if e, ok := n.roll.find(ids[4]); !ok || e.excused {
			n.t.Error("an agent is excused for nothing")
		}
		if _, ok := n.absences["f1"]; !ok || len(n.absences) != 1 {
			n.t.Errorf("%v", n.absences)
		}
	})
}

func (n *node) phase(id string) fsm.Phase {
	record, ok := n.registrar.State().Agent(id)
	if !ok {
		return 0
	}
	return record.Phase
}
