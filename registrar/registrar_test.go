package registrar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a Registrar that runs over a log in memory whose faults the test chooses.
type node struct {
	*Registrar
	log     *memlog.Log[fsm.Result]
	storage *memlog.Storage
	stop    context.CancelFunc
	ran     chan error
}

// start runs a node that leads; change may alter its configuration.
func start(t *testing.T, change func(*Config)) *node {
	t.Helper()
	return startOn(t, new(memlog.Storage), "n1", change)
}

func startOn(t *testing.T, storage *memlog.Storage, id string, change func(*Config)) *node {
	t.Helper()
	registry := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: id, Storage: storage}, registry)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults(id)
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg, l, registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &node{Registrar: r, log: l, storage: storage, stop: stop, ran: make(chan error, 1)}
	go func() { n.ran <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-n.ran; err != nil && !errors.Is(err, log.ErrHalted) && !errors.Is(err, log.ErrClosed) {
			t.Errorf("Run ended with %v", err)
		}
		if err := l.Close(); err != nil && !errors.Is(err, log.ErrHalted) {
			t.Error(err)
		}
	})
	return n
}

// leads waits until the node takes writes.
func (n *node) leads(t *testing.T) {
	t.Helper()
	for n.reign.Load() == nil {
		_, superseded := n.Next()
		if n.reign.Load() != nil {
			return
		}
		select {
		case <-superseded:
		case <-time.After(time.Millisecond): // the reign is stored after its opening frame is applied
		}
	}
}

func agent(t testing.TB, id string) fsm.AgentObject {
	t.Helper()
	object, err := fsm.AgentInfo{ID: id, Hostname: "h"}.Object()
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// Each caller is told its own outcomes, and a refusal is an error of its own.
func TestCallersAreToldTheirOwnOutcomes(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			id := fmt.Sprint("a", i)
			result, err := n.Propose(t.Context(), []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agent(t, id)}}, {Op: fsm.RemoveAgent{ID: "nobody"}}, {Op: fsm.DrainAgent{ID: id}}})
			if err != nil || len(result.Outcomes) != 3 {
				t.Errorf("%+v, %v", result, err)
				return
			}
			refused := result.Outcomes[1].Rejection
			if !result.Outcomes[0].Changed || refused == nil || refused.Code != fsm.UnknownAgent || !result.Outcomes[2].Changed {
				t.Errorf("%+v", result)
			}
			if a, ok := n.State().Agent(id); !ok || a.Index != result.Index {
				t.Errorf("agent %s at index %d: %+v", id, result.Index, a)
			}
			_, err = n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, id)})
			var rejection *fsm.Rejection
			if !errors.As(err, &rejection) || rejection.Code != fsm.AlreadyAdmitted {
				t.Errorf("%v", err)
			}
		})
	}
	callers.Wait()
}

// While a frame is in flight everything that comes joins the next one, within the bounds; a larger request goes by
// itself.
func TestWhatWaitsIsJoined(t *testing.T) {
	n := start(t, func(c *Config) { c.BatchOps = 10 })
	n.leads(t)
	release, held := make(chan struct{}), make(chan struct{}, 1)
	n.log.OnPropose(func(ctx context.Context, _ []byte) memlog.Fate {
		select {
		case held <- struct{}{}:
		default:
		}
		<-release
		return memlog.Append
	})
	var callers sync.WaitGroup
	indexes := make(chan uint64, 100)
	propose := func(ops int) {
		ps := make([]fsm.Proposal, ops)
		for i := range ps {
			ps[i].Op = fsm.RemoveAgent{ID: "nobody"}
		}
		callers.Go(func() {
			result, err := n.Propose(t.Context(), ps)
			if err != nil || len(result.Outcomes) != ops {
				t.Errorf("%+v, %v", result, err)
			}
			indexes <- result.Index
		})
	}
	propose(1)
	<-held // the first is in flight
	for range 20 {
		propose(1)
	}
	for n.queue.len() != 20 {
		time.Sleep(time.Millisecond) // callers are on their way into the queue, and nothing tells when they are in
	}
	propose(25)
	for n.queue.len() != 45 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	callers.Wait()
	n.log.OnPropose(nil)
	close(indexes)
	frames := map[uint64]int{}
	for index := range indexes {
		frames[index]++
	}
	if len(frames) != 4 { // 1, 10, 10, and the 25
		t.Errorf("%d frames: %v", len(frames), frames)
	}
}

// A full queue refuses, and what it refused never happens.
func TestFullQueueIsBusy(t *testing.T) {
	n := start(t, func(c *Config) { c.QueueOps = 5 })
	n.leads(t)
	release, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.log.OnPropose(func(context.Context, []byte) memlog.Fate {
		once.Do(func() { close(held) })
		<-release
		return memlog.Append
	})
	var callers sync.WaitGroup
	callers.Go(func() { _, _ = n.Apply(t.Context(), fsm.RemoveAgent{ID: "x"}) })
	<-held
	for i := range 5 {
		callers.Go(func() {
			if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, fmt.Sprint("a", i))}); err != nil {
				t.Error(err)
			}
		})
	}
	for n.queue.len() != 5 {
		time.Sleep(time.Millisecond) // as above
	}
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "late")}); !errors.Is(err, ErrBusy) {
		t.Errorf("a full queue answered %v", err)
	}
	close(release)
	callers.Wait()
	if _, ok := n.State().Agent("late"); ok || n.State().Count(fsm.Admitted) != 5 {
		t.Error("what was refused has happened")
	}
}

// Who gives up while waiting is told "no", and it never happens; who gives up later is told "perhaps".
func TestGivingUp(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	release, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.log.OnPropose(func(context.Context, []byte) memlog.Fate {
		once.Do(func() { close(held) })
		<-release
		return memlog.Append
	})
	var callers sync.WaitGroup
	flying, giveUpFlying := context.WithCancel(t.Context())
	callers.Go(func() {
		if _, err := n.Apply(flying, fsm.AdmitAgent{Agent: agent(t, "flying")}); !errors.Is(err, log.ErrUncertain) || !errors.Is(err, context.Canceled) {
			t.Errorf("giving up in flight answered %v", err)
		}
	})
	<-held
	waiting, giveUpWaiting := context.WithCancel(t.Context())
	callers.Go(func() {
		if _, err := n.Apply(waiting, fsm.AdmitAgent{Agent: agent(t, "waiting")}); !errors.Is(err, ErrWithdrawn) || errors.Is(err, log.ErrUncertain) {
			t.Errorf("giving up in the queue answered %v", err)
		}
	})
	for n.queue.len() != 1 {
		time.Sleep(time.Millisecond) // as above
	}
	giveUpWaiting()
	giveUpFlying()
	callers.Wait()
	close(release)
	if _, err := n.Apply(t.Context(), fsm.RemoveAgent{ID: "x"}); err == nil {
		t.Error("removing nobody was not refused")
	}
	if _, ok := n.State().Agent("waiting"); ok {
		t.Error("what was withdrawn has happened")
	}
	if _, ok := n.State().Agent("flying"); !ok {
		t.Error("what was in flight has not happened, though the log took it")
	}
}

// A lost answer is "perhaps", a dropped command is "no".
func TestLogAnswersArePassedOn(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	fate := memlog.LoseReply
	n.log.OnPropose(func(context.Context, []byte) memlog.Fate { return fate })
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a1")}); !errors.Is(err, log.ErrUncertain) {
		t.Errorf("a lost answer is %v", err)
	}
	fate = memlog.Drop
	n.leads(t)
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a2")}); err == nil || errors.Is(err, log.ErrUncertain) && fate != memlog.Drop {
		t.Errorf("a dropped command is %v", err)
	}
}

// Outside a reign every write is refused at once; the next reign goes on, and a frame of the last one that was still
// on its way does nothing.
func TestReigns(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	first := n.State().Reign()
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a1")}); err != nil {
		t.Fatal(err)
	}
	n.log.LoseReign()
	for n.reign.Load() != nil {
		time.Sleep(time.Millisecond) // the registrar notices by itself, and tells nobody
	}
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a2")}); !errors.Is(err, log.ErrNotLeader) {
		t.Errorf("outside a reign: %v", err)
	}
	n.log.TakeReign()
	n.leads(t)
	if n.State().Reign() <= first {
		t.Errorf("reign %d after reign %d", n.State().Reign(), first)
	}
	stale := fsm.Join(fsm.Head{Reign: first}, mustEncode(t, fsm.AdmitAgent{Agent: agent(t, "a3")}))
	result, err := n.log.Propose(t.Context(), stale)
	if err != nil || !result.Stale {
		t.Errorf("a frame of the last reign: %+v, %v", result, err)
	}
	if _, ok := n.State().Agent("a3"); ok {
		t.Error("a frame of the last reign was applied")
	}
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a4")}); err != nil {
		t.Error(err)
	}
}

func mustEncode(t *testing.T, op fsm.Op) fsm.Batch {
	t.Helper()
	batch, err := fsm.Encode(fsm.Proposal{Op: op})
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// An operation that is wrong whatever the State is refused before anything is proposed.
func TestInvalidIsRefused(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	before := n.State().Index()
	_, err := n.Propose(t.Context(), []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agent(t, "a1")}}, {Op: fsm.RemoveAgent{}}})
	if !errors.Is(err, ErrInvalid) || n.State().Index() != before {
		t.Errorf("%v at index %d, was %d", err, n.State().Index(), before)
	}
}

// Row Recover of the Mesos registrar's tests: before the registrar runs, everything is refused; what is asked while
// it begins waits for nobody and is refused or done, never lost.
func TestRowRecover(t *testing.T) {
	registry := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: "n1"}, registry)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := New(Defaults("n1"), l, registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []fsm.Op{fsm.AdmitAgent{Agent: agent(t, "a1")}, fsm.MarkUnreachable{ID: "a1"}, fsm.ReachAgent{Agent: agent(t, "a1")}, fsm.RemoveAgent{ID: "a1"}} {
		if _, err := r.Apply(t.Context(), op); !errors.Is(err, log.ErrNotLeader) {
			t.Errorf("%s before Run: %v", op.Kind(), err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	(&node{Registrar: r}).leads(t)
	for _, op := range []fsm.Op{fsm.AdmitAgent{Agent: agent(t, "a1")}, fsm.MarkUnreachable{ID: "a1"}, fsm.ReachAgent{Agent: agent(t, "a1")}, fsm.RemoveAgent{ID: "a1"}} {
		if _, err := r.Apply(t.Context(), op); err != nil {
			t.Errorf("%s: %v", op.Kind(), err)
		}
	}
	if m, ok := r.State().Member("n1"); !ok || m.Format != fsm.Format {
		t.Errorf("the leader has not announced itself: %+v", m)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// Row Abort, the other way round: a write that fails poisons nothing, and the next one is done.
func TestRowAbort(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	n.log.OnPropose(func(context.Context, []byte) memlog.Fate { return memlog.Drop })
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a1")}); err == nil {
		t.Error("a failing log did not fail")
	}
	n.log.OnPropose(nil)
	n.leads(t)
	if _, err := n.Apply(t.Context(), fsm.AdmitAgent{Agent: agent(t, "a1")}); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}

// A log that halts ends Run with the reason.
func TestHaltEndsRun(t *testing.T) {
	n := start(t, nil)
	n.leads(t)
	reason := errors.New("the disk is gone")
	n.log.Halt(reason)
	select {
	case err := <-n.ran:
		if !errors.Is(err, reason) {
			t.Errorf("Run ended with %v", err)
		}
		n.ran <- nil
	case <-time.After(time.Minute):
		t.Fatal("Run goes on")
	}
	if _, err := n.Apply(t.Context(), fsm.RemoveAgent{ID: "x"}); err == nil {
		t.Error("a halted registrar takes writes")
	}
	if _, err := n.Watch(t.Context(), 1000); err == nil {
		t.Error("a halted registrar lets watchers wait")
	}
}

// A duty that fails or panics is begun again, and ends with its reign.
func TestDuties(t *testing.T) {
	registry := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: "n1"}, registry)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := New(Defaults("n1"), l, registry)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan int, 10)
	times := 0
	r.Duty("test", func(reign context.Context) error {
		times++
		begun <- times
		switch times {
		case 1:
			panic("first")
		case 2:
			return errors.New("second")
		}
		<-reign.Done()
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	for want := 1; want <= 3; want++ {
		if got := <-begun; got != want {
			t.Fatalf("begun %d times, want %d", got, want)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
