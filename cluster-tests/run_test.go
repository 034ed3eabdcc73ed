package clustertests

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/registrard/registrard/cluster-tests/history"
)

// run is one cluster under clients and faults, and what is known of it afterwards. Everything that is drawn comes
// from its seed; what the machine does with it does not.
type run struct {
	t        testing.TB
	c        *Cluster
	seed     uint64
	think    time.Duration // mean pause of a client between two calls
	recovery time.Duration // after which a healed cluster must take writes
	quiet    time.Duration // mean time without a fault of the network, and of the machines
	hasty    bool          // operators admit agents of their own, and ask once
	liveness bool          // agents register and are watched; nobody else changes agents then
	h        *history.History
	replicas history.Replicas
	turn     atomic.Int64

	clients  group
	nemeses  group // one for the network, one for the machines
	watchers group // and whoever looks after nodes
	joined   int   // members that were added

	mu         sync.Mutex
	watchings  []*watching
	leaders    map[uint64]string // by term
	violations []history.Violation
	injected   map[string]tally
}

// tally is how often a fault was injected, and how long it was there.
type tally struct {
	times int
	lasts time.Duration
}

// group is goroutines that end together.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func (g *group) start() { g.ctx, g.cancel = context.WithCancel(context.Background()) }

// stop ends them, clients each after its answer.
func (g *group) stop() {
	g.cancel()
	g.work.Wait()
}

// watching is what one watcher was sent so far.
type watching struct {
	mu     sync.Mutex
	stream history.Stream
}

// options is what a run is like.
type options struct {
	nodes    int
	seed     uint64
	clients  int // operators; of the others there are some
	think    time.Duration
	network  bool // links can be cut: in namespaces where there can be some, at gates elsewhere
	gates    bool // at gates anyway
	disks    bool // on file systems of their own
	liveness bool
	binary   string // empty: the tested one
	plant    string // a bug that a planted binary has
	recovery time.Duration
	hasty    bool
	quiet    time.Duration
	flags    []string
}

// start founds a cluster and lets clients loose on it.
func (o options) start(t testing.TB) *run {
	t.Helper()
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	if o.recovery == 0 {
		o.recovery = patience
	}
	if o.quiet == 0 {
		o.quiet = time.Second
	}
	t.Logf("%+v", o)
	r := &run{
		t: t, seed: o.seed, think: o.think, recovery: o.recovery, quiet: o.quiet, hasty: o.hasty, liveness: o.liveness, h: history.New(), leaders: map[uint64]string{}, injected: map[string]tally{},
		c: &Cluster{t: t, flags: o.flags, binary: o.binary, plant: o.plant},
	}
	if o.liveness {
		r.c.flags = append(slices.Clone(o.flags), "--liveness", "--agent-heartbeat", "200ms", "--agent-max-missed", "5",
			"--agent-reregister-timeout", "2s", "--agent-removal-limit", "100%")
	}
	switch {
	case o.network && !o.gates && noNetwork() == "":
		r.c.net = newNetwork(t)
	case o.network:
		r.c.gates = newGates(t)
	}
	if o.disks {
		r.c.disks = newDisks(t, 2048)
	}
	r.c.found(o.nodes)
	r.clients.start()
	r.nemeses.start()
	r.watchers.start()
	t.Cleanup(func() {
		r.nemeses.stop()
		r.clients.stop()
		r.watchers.stop()
	})
	id := 0
	add := func(to *group, n int, do func(context.Context, int, *rand.Rand)) {
		for range n {
			id++
			own := id
			to.work.Go(func() { do(to.ctx, own, rand.New(rand.NewPCG(o.seed, uint64(own)))) })
		}
	}
	if o.liveness {
		add(&r.clients, 2*o.clients, r.agent)
	} else {
		add(&r.clients, o.clients, r.operator)
		add(&r.clients, 3, r.master)
	}
	add(&r.clients, 2, r.reader)
	add(&r.watchers, 2, r.watcher)
	add(&r.watchers, 1, r.watchLog)
	add(&r.watchers, 1, r.pollster)
	add(&r.watchers, 1, r.supervisor)
	return r
}

// rng is a source for what is drawn beside the clients.
func (r *run) rng(of uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, 1<<32+of)) }

func (r *run) violate(checker, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, history.Violation{Checker: checker, What: fmt.Sprintf(format, args...)})
}

// led notes who leads which term.
func (r *run) led(s Status) {
	if s.Role != "leader" {
		return
	}
	r.mu.Lock()
	before, known := r.leaders[s.Term]
	r.leaders[s.Term] = s.ID
	r.mu.Unlock()
	if known && before != s.ID {
		r.violate("one leader", "%s and %s in term %d", before, s.ID, s.Term)
	}
}

func (r *run) watch(name string) *watching {
	w := &watching{stream: history.Stream{Watcher: name}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchings = append(r.watchings, w)
	return w
}

// acknowledged is how many calls were answered so far.
func (r *run) acknowledged() int {
	yes, _, _ := history.Count(r.h.Calls())
	return yes
}

// more waits until n more calls were answered than when it was called.
func (r *run) more(n int) {
	r.t.Helper()
	until := r.acknowledged() + n
	await(r.t, fmt.Sprintf("%d more answers", n), func() error {
		if got := r.acknowledged(); got < until {
			return fmt.Errorf("%d of %d", got, until)
		}
		return nil
	})
}

// plague lets a nemesis loose for the network and one for the machines, each with those of its faults that can
// happen here and are named; no names: all of them.
func (r *run) plague(names ...string) {
	for of, network := range []bool{true, false} {
		var own []fault
		for _, f := range faults {
			if f.network == network && (len(names) == 0 || slices.Contains(names, f.name)) && (f.not == nil || f.not(r) == "") {
				own = append(own, f)
			}
		}
		if len(own) > 0 {
			rng := r.rng(uint64(of))
			r.nemeses.work.Go(func() { r.nemesis(own, rng) })
		}
	}
}

// nemesis injects one fault after the other, with quiet times between them.
func (r *run) nemesis(own []fault, rng *rand.Rand) {
	for wait(r.nemeses.ctx, r.quiet/2+time.Duration(rng.Int64N(int64(r.quiet)))) {
		f := own[rng.IntN(len(own))]
		began := time.Now()
		undo := f.do(r, rng)
		if f.longest > 0 {
			wait(r.nemeses.ctx, f.longest/5+time.Duration(rng.Int64N(int64(f.longest)*4/5)))
		}
		undo()
		r.mu.Lock()
		t := r.injected[f.name]
		r.injected[f.name] = tally{t.times + 1, t.lasts + time.Since(began)}
		r.mu.Unlock()
	}
}

// supervisor starts nodes again that ended by themselves, as a machine's own would, and asks whether they had a
// reason.
func (r *run) supervisor(ctx context.Context, _ int, _ *rand.Rand) {
	for wait(ctx, 100*time.Millisecond) {
		for _, node := range r.c.members() {
			// In this order: a fault says so before it kills, and after it has started the node again.
			if node.running() || node.down.Load() || node.running() {
				continue
			}
			if time.Now().UnixNano() > node.excused.Load() {
				r.violate("fail-stop", "%s ended by itself, and nothing was wrong with its disk:\n%s", node.ID, node.log.String())
			}
			if wait(ctx, 300*time.Millisecond) && !node.down.Load() {
				node.start(r.t)
			}
		}
	}
}

// report is what a run came to.
type report struct {
	calls, yes, no, perhaps int
	compared, leaders       int
	lasted, outage          time.Duration
	injected                map[string]tally
	violations              []history.Violation
}

// settle ends the faults' part of a run: with all healed, a write must succeed, every node catch up and every
// watcher hear of it. Then all the evidence is checked.
func (r *run) settle() report {
	r.t.Helper()
	r.nemeses.stop()
	lasted := time.Since(r.h.Start())
	await(r.t, "every node is ready again", func() error {
		for _, node := range r.c.members() {
			if _, err := node.get("/readyz"); err != nil {
				return err
			}
		}
		return nil
	})
	r.clients.stop()
	cl := r.c.client()
	healed, cancel := context.WithTimeout(context.Background(), r.recovery)
	defer cancel()
	barrier := *r.propose(healed, patiently(cl), history.Call{Client: -1, Kind: "agent.admit", Agent: "barrier", Value: "v0", RequestID: "barrier"})
	if barrier.Answer != history.Yes {
		r.violate("liveness", "all is healed, and a write was answered with %s after %s", barrier.Answer, barrier.Took)
		r.dump(nil)
		return report{violations: r.violations}
	}
	for _, status := range r.c.level() {
		r.replicas.Saw(status.ID, status.Index, status.Digest, status.Chain)
	}
	for _, w := range r.watchings {
		for healed.Err() == nil && !w.reached(barrier.Index) {
			wait(healed, 20*time.Millisecond) // a watcher that never comes there is named below
		}
	}
	r.watchers.stop()
	r.leaks()
	e := history.Evidence{Calls: r.h.Calls(), Replicas: &r.replicas}
	for _, node := range r.c.members() {
		log := history.Stream{Watcher: "log of " + node.ID, Until: barrier.Index}
		for _, change := range node.changes(r.t, barrier.Index) {
			if change.Index <= barrier.Index {
				log.Changes = append(log.Changes, kept(&change))
			}
		}
		if e.Log == nil {
			e.Log = log.Changes
		}
		e.Streams = append(e.Streams, log)
	}
	for _, w := range r.watchings {
		w.stream.Until = barrier.Index
		// A watchman may go on after that.
		w.stream.Changes = slices.DeleteFunc(w.stream.Changes, func(c history.Change) bool { return c.Index > barrier.Index })
		e.Streams = append(e.Streams, w.stream)
	}
	done := report{compared: r.replicas.Compared(), leaders: len(r.leaders), lasted: lasted, injected: r.injected, outage: history.Outage(e.Calls)}
	done.calls = len(e.Calls)
	done.yes, done.no, done.perhaps = history.Count(e.Calls)
	done.violations = append(r.violations, history.Check(e)...)
	if len(done.violations) > 0 {
		r.dump(&e)
	}
	r.t.Logf("seed %d: %d calls (%d yes, %d no, %d perhaps), %d leaders, replicas compared %d times, worst write outage %s, %d violations",
		r.seed, done.calls, done.yes, done.no, done.perhaps, done.leaders, done.compared, done.outage.Round(time.Millisecond), len(done.violations))
	return done
}

// clean makes violations of a run failures of its test.
func (r report) clean(t testing.TB) report {
	t.Helper()
	for i, v := range r.violations {
		if i == 5 {
			t.Errorf("and %d more", len(r.violations)-i)
			break
		}
		t.Error(v)
	}
	return r
}

// dump keeps the evidence of a run that went wrong where SOAK_DIR says.
func (r *run) dump(e *history.Evidence) {
	dir := os.Getenv("SOAK_DIR")
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, fmt.Sprint("seed-", r.seed))
	if e == nil {
		e = &history.Evidence{Calls: r.h.Calls()}
	}
	text, err := json.MarshalIndent(struct {
		Violations []history.Violation
		Evidence   *history.Evidence
	}{r.violations, e}, "", " ")
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "evidence.json"), text, 0o600)
	}
	for _, node := range r.c.members() {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, node.ID+".log"), []byte(node.log.String()), 0o600)
		}
	}
	if err != nil {
		r.t.Errorf("the evidence was not kept: %v", err)
	} else {
		r.t.Logf("the evidence is in %s", dir)
	}
}
