package registrar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/memlog"
)

// A linearizable view has everything that was acknowledged before it was asked for, however many ask at once.
func TestLinearizableViews(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for k := range 50 {
				id := fmt.Sprintf("a%d-%d", i, k)
				if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, id)}); err != nil {
					t.Error(err)
				}
				state, err := n.View(t.Context(), Linearizable)
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := state.Agent(id); !ok {
					t.Errorf("%s was acknowledged and is not seen", id)
				}
			}
		})
	}
	callers.Wait()
}

// A follower reads stale, and says that it cannot do better.
func TestFollowersReadStale(t *testing.T) {
	storage := new(memlog.Storage)
	leader := startOn(t, storage, "n1", nil)
	leader.leads(t)
	follower := startOn(t, storage, "n2", nil)
	outcome, err := leader.Propose(t.Context(), []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agent(t, "a1")}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := follower.Watch(t.Context(), outcome.Index-1); err != nil {
		t.Fatal(err)
	}
	if _, ok := follower.State().Agent("a1"); !ok {
		t.Error("the follower has not followed")
	}
	if _, err := follower.View(t.Context(), Stale); err != nil {
		t.Errorf("stale: %v", err)
	}
	if _, err := follower.View(t.Context(), Linearizable); !errors.Is(err, log.ErrNotLeader) {
		t.Errorf("linearizable: %v", err)
	}
	if _, err := follower.Apply(t.Context(), fsm.RemoveAgent{ID: "a1"}); !errors.Is(err, log.ErrNotLeader) {
		t.Errorf("a write: %v", err)
	}
}

// A watcher that goes from State to State sees every change once and in order.
func TestWatchersMissNothing(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	const changes = 500
	var watchers sync.WaitGroup
	from := n.State().Index()
	for range 4 {
		watchers.Go(func() {
			after, seen := from, 0
			for seen < changes {
				state, err := n.Watch(t.Context(), after)
				if err != nil {
					t.Error(err)
					return
				}
				news, ok := state.Changes(after)
				if !ok {
					t.Error("changes are lost")
				}
				for change := range news {
					if want := fmt.Sprint("a", seen); change.ID != want || change.Index <= after {
						t.Errorf("change of %s at %d, want %s after %d", change.ID, change.Index, want, after)
					}
					seen++
				}
				after = state.Index()
			}
		})
	}
	for i := range changes {
		if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, fmt.Sprint("a", i))}); err != nil {
			t.Fatal(err)
		}
	}
	watchers.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Watch(ctx, n.State().Index()); !errors.Is(err, context.Canceled) {
		t.Errorf("a watcher that gives up: %v", err)
	}
}

// What is too many or too old is forgotten, the oldest first, by the log's time and not by a time that was given.
// Mesos: RegistryGcByCount, RegistryGcByCountManySlaves, RegistryGcByAge (src/tests/partition_tests.cpp).
func TestPrune(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	n := start(t, func(c *Config) {
		c.Now, c.MaxCount, c.MaxAge, c.PruneInterval = clock, 3, time.Hour, time.Hour
		c.FrameworkMaxCount, c.FrameworkMaxAge = 1, time.Hour
	})
	n.leads(t)
	apply := func(ops ...fsm.Op) {
		t.Helper()
		for _, op := range ops {
			if _, err := n.Apply(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func(p fsm.Phase, want string) {
		t.Helper()
		if err := n.pruneOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ""
		for a := range n.State().AgentsBySince(p, 0) {
			got += a.ID + " "
		}
		if got != want {
			t.Fatalf("%s: %q are left, want %q", p, got, want)
		}
	}
	for i := range 5 {
		id := fmt.Sprint("a", 9-i) // not in the order of the ids
		apply(fsm.AdmitAgent{Agent: agent(t, id)}, fsm.MarkUnreachable{ID: id, Time: fsm.TimeOf(now.Add(-1000 * time.Hour))})
	}
	left(fsm.Unreachable, "a7 a6 a5 ")
	pass(59 * time.Minute)
	apply(fsm.MarkGone{ID: "a6"})
	left(fsm.Unreachable, "a7 a5 ")
	pass(2 * time.Minute)
	left(fsm.Unreachable, "")
	left(fsm.Gone, "a6 ")
	pass(time.Hour)
	left(fsm.Gone, "")
	for i := range 3 {
		id := fmt.Sprint("f", i)
		apply(fsm.AdmitFramework{Framework: fsm.FrameworkObject{ID: id, Info: fsm.Info(`{"id":"` + id + `"}`)}})
		if i < 2 {
			apply(fsm.CompleteFramework{ID: id})
		}
	}
	left(fsm.Gone, "")
	if _, ok := n.State().Framework("f0"); ok {
		t.Error("the older of two completed frameworks is left")
	}
	if _, ok := n.State().Framework("f2"); !ok {
		t.Error("an active framework was forgotten")
	}
	// A clock that is behind the log's time is not trusted.
	pass(-2 * time.Hour)
	apply(fsm.AdmitAgent{Agent: agent(t, "b1")}, fsm.MarkGone{ID: "b1"})
	left(fsm.Gone, "b1 ")
}

func BenchmarkApply(b *testing.B) {
	registry := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: "n1"}, registry)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	r, err := New(Defaults("n1"), l, registry)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	for r.reign.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	b.ReportAllocs()
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			// Refused, so that the registry does not grow: what is measured is the way to the log and back.
			if _, err := r.Propose(ctx, []fsm.Proposal{{Op: fsm.RemoveAgent{ID: "nobody"}}}); err != nil {
				b.Error(err)
			}
		}
	})
	stop()
	if err := <-ran; err != nil {
		b.Error(err)
	}
}
