package liveness

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
)

type ctx = context.Context

// A leader that stood still, however long, has heard nobody meanwhile: everybody has the whole time again, and
// who is silent after it is found as ever.
func TestStandingStillRemovesNobody(t *testing.T) {
	for _, pause := range []time.Duration{16 * time.Second, 70 * time.Second, 20 * time.Minute, 1000 * time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			cfg := Defaults()
			cfg.RemovalLimit = 100
			alone(t, cfg, func(n *node) {
				ids := names(100)
				n.admit(ids...)
				n.beat(2*time.Minute, ids)
				n.stood.Add(int64(pause))
				n.beat(70*time.Second, ids[1:]) // each of the others is heard from within 15s
				n.want()
				n.beat(10*time.Second, ids[1:])
				n.want(ids[0])
				if r := n.Removals(); r.Standstills != 1 {
					n.t.Errorf("%d standstills", r.Standstills)
				}
			})
		})
	}
}

// The same with agents that are awaited after a change of leader: they have the whole window again.
func TestStandingStillBeginsTheWindowAnew(t *testing.T) {
	cfg := Defaults()
	cfg.RemovalLimit = 100
	alone(t, cfg, func(n *node) {
		n.admit("a1", "a2")
		n.beat(9*time.Minute, nil)
		n.stood.Add(int64(20 * time.Minute))
		n.beat(9*time.Minute, nil)
		n.want()
		n.beat(2*time.Minute, nil)
		n.want("a1", "a2")
	})
}

// Standing still while agents wait for their turn takes them out of the queue, too.
func TestStandingStillEmptiesTheQueue(t *testing.T) {
	cfg := Defaults()
	cfg.RemovalLimit, cfg.RemovalRate = 100, Rate{1, time.Hour}
	alone(t, cfg, func(n *node) {
		ids := names(10)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		n.beat(3*time.Minute, nil)
		if r := n.Removals(); r.Waiting != 9 {
			n.t.Fatalf("%+v", r)
		}
		n.stood.Add(int64(5 * time.Hour)) // five turns, if anybody took them
		n.beat(time.Minute, ids[1:])
		if r := n.Removals(); r.Waiting != 0 || r.Missing > 1 {
			n.t.Fatalf("%+v", r)
		}
		n.want(n.unreachable()...)
		if len(n.unreachable()) != 1 {
			n.t.Errorf("%q are unreachable", n.unreachable())
		}
	})
}

// A wall clock that is set, to any side and by any amount, marks nobody who is heard from. Ahead, the watchman
// takes it for a sleep; behind the log, an alarm stands until it is right or a person says that it is.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Second, 30 * time.Second, time.Hour, 10 * 365 * 24 * time.Hour} {
		for _, sign := range []time.Duration{1, -1} {
			t.Run((sign * jump).String(), func(t *testing.T) {
				cfg := Defaults()
				cfg.RemovalLimit = 100
				alone(t, cfg, func(n *node) {
					ids := names(100)
					n.admit(ids...)
					n.beat(2*time.Minute, ids)
					n.moved.Add(int64(sign * jump))
					n.beat(20*time.Minute, ids)
					n.want()
					n.moved.Store(0)
					n.beat(20*time.Minute, ids)
					n.want()
				})
			})
		}
	}
}

// A clock behind the log's keeps everybody, until it is corrected or trusted.
func TestClockBehindTheLog(t *testing.T) {
	alone(t, Defaults(), func(n *node) {
		ids := names(10)
		n.admit(ids...)
		n.beat(time.Minute, ids)
		n.moved.Add(-int64(2 * time.Hour))
		n.beat(time.Hour, ids[1:])
		n.want()
		n.wantAlarm(ClockAlarm)
		n.moved.Store(0)
		n.beat(2*time.Minute, ids[1:])
		n.want(ids[0])
		n.wantAlarm(NoAlarm)

		n.moved.Add(-int64(2 * time.Hour))
		n.beat(20*time.Minute, ids[2:])
		n.want(ids[0])
		n.wantAlarm(ClockAlarm)
		if err := n.Approve(); err != nil {
			n.t.Fatal(err)
		}
		n.beat(5*time.Second, ids[2:])
		n.want(ids[:2]...)
		n.wantAlarm(NoAlarm)
	})
}

// Removals that were under way when the reign ended come to nothing, even where their entry reaches the log
// after the next leader has begun: the machine knows them by their reign. The next leader waits a whole window.
func TestDeposedLeaderMarksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults()
		cfg.RemovalLimit = 100
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", cfg), open(t, storage, "b", cfg)
		defer a.stop()
		defer b.stop()
		ids := names(100)
		a.admit(ids...)
		a.beat(time.Minute, ids)

		// a is stopped in the midst of proposing removals, and goes on when b has begun its reign.
		began, goOn := make(chan struct{}), make(chan struct{})
		a.log.OnPropose(func(ctx, []byte) memlog.Fate {
			a.log.OnPropose(nil)
			close(began)
			<-goOn
			return memlog.Append
		})
		<-began
		b.log.TakeReign()
		synctest.Wait()
		reign := b.registrar.State().Reign()
		close(goOn)
		synctest.Wait()

		if b.registrar.State().Reign() != reign || b.registrar.State().Index() <= reign {
			t.Fatal("the stale entry did not come after b's opening")
		}
		for _, n := range []*node{a, b} {
			n.want()
		}
		b.beat(30*time.Minute, ids)
		for _, n := range []*node{a, b} {
			n.want()
		}
	})
}

// A leader that stood still for twice the window while another led, and leads again afterwards, knows nothing
// of before.
func TestLeadingAgainBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults()
		cfg.RemovalLimit = 100
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a", cfg), open(t, storage, "b", cfg)
		defer a.stop()
		defer b.stop()
		ids := names(10)
		a.admit(ids...)
		a.beat(time.Minute, ids)
		b.log.TakeReign()
		synctest.Wait()
		b.beat(2*cfg.Window, ids)
		a.log.TakeReign()
		synctest.Wait()
		a.beat(cfg.Window-10*time.Second, nil)
		a.want()
		a.beat(20*time.Second, nil)
		a.want(ids...)
	})
}

// An agent that beats is never marked, while leaders change, stand still and have their clocks set, at the
// strictest limits; the one that does not beat is found whenever a leader lasts long enough.
func TestTurmoil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults()
		cfg.RemovalLimit, cfg.Window = 100, time.Minute
		storage := new(memlog.Storage)
		nodes := []*node{open(t, storage, "a", cfg), open(t, storage, "b", cfg), open(t, storage, "c", cfg)}
		for _, n := range nodes {
			defer n.stop()
		}
		ids := names(60)
		nodes[0].admit(ids...)
		for i := range 60 {
			n := nodes[i*7%3]
			n.log.TakeReign()
			synctest.Wait()
			n.beat(time.Duration(i%40+20)*time.Second, ids[1:])
			switch i % 4 {
			case 0:
				n.stood.Add(int64(time.Duration(i) * time.Minute))
			case 1:
				n.moved.Add(int64(time.Duration(i) * time.Minute))
			case 2:
				n.moved.Add(-int64(time.Duration(i) * time.Minute))
			}
			n.beat(time.Duration(i%30)*time.Second, ids[1:])
			n.want(n.unreachable()...)
			for _, id := range n.unreachable() {
				if id != ids[0] {
					t.Fatalf("round %d: %s is unreachable", i, id)
				}
			}
		}
		n := nodes[0]
		n.moved.Store(int64(24 * time.Hour)) // ahead of whatever the log has seen
		n.log.TakeReign()
		synctest.Wait()
		n.beat(10*time.Minute, ids[1:])
		n.want(ids[0])
		if n.phase(ids[0]) != fsm.Unreachable {
			t.Error("the silent agent was not found")
		}
	})
}
