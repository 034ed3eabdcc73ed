package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/cluster-tests/history"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
)

// run is one seed, from founding to verdict.
type run struct {
	t        *testing.T
	dir      string
	net      *network
	founders map[string]string
	h        *history.History
	replicas history.Replicas
	turn     atomic.Uint64
	streams  chan history.Stream
	faults   []fault
	injected map[string]int
	zombies  sync.WaitGroup
	busy     time.Duration // of a client between two calls, at most

	mu       sync.Mutex
	nodes    []*node
	left     int // members that left
	problems []history.Violation
}

// verdict is what a run came to.
type verdict struct {
	simulated  time.Duration
	calls      int
	yes        int
	perhaps    int
	indexes    uint64
	terms      int
	compared   int
	injected   map[string]int
	violations []history.Violation
	dir        string // what is left of it where there are violations
}

func (r *run) complain(checker, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, history.Violation{Checker: checker, What: fmt.Sprintf(format, args...)})
}

func (r *run) members() []*node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.nodes)
}

func (r *run) any(rng *rand.Rand) *node {
	all := r.members()
	return all[rng.IntN(len(all))]
}

// leader is who leads, or anybody.
func (r *run) leader(rng *rand.Rand) *node {
	for _, n := range r.members() {
		if l := n.alive(); l != nil && l.log.Status().Role == log.Leader {
			return n
		}
	}
	return r.any(rng)
}

func (r *run) restart(n *node) {
	if n.alive() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.start(ctx); err != nil {
		r.complain("start", "%v", err)
	}
}

// pause is a client's rest between two calls; false: it is over.
func (r *run) pause(ctx context.Context, rng *rand.Rand) bool {
	wait(ctx.Done(), time.Duration(rng.Int64N(int64(r.busy))))
	return ctx.Err() == nil
}

// monitor holds every State of a life against those of the others, and its order against itself.
func (r *run) monitor(l *life) {
	last := uint64(0)
	for {
		state, superseded := l.Next()
		if state.Index() < last {
			r.complain("applied", "%s went from index %d to %d", l.name, last, state.Index())
		}
		if last = state.Index(); last > 0 {
			r.replicas.Saw(l.name, last, state.Digest(), state.Chain())
		}
		select {
		case <-superseded:
		case <-l.over:
			return
		}
	}
}

// replace has a member join, and another one leave for good once the first votes.
func (r *run) replace(rng *rand.Rand) {
	r.mu.Lock()
	r.left++
	joiner := &node{r: r, id: fmt.Sprintf("j%d", r.left), addr: fmt.Sprintf("j%d:1", r.left), join: true}
	joiner.dir = filepath.Join(r.dir, joiner.id+"-0")
	leaver := r.nodes[rng.IntN(len(r.nodes))]
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := joiner.start(ctx); err != nil {
		return // nobody leads for so long
	}
	r.mu.Lock()
	r.nodes = append(r.nodes, joiner)
	r.mu.Unlock()
	voter := func() (is bool) {
		l := r.leader(rng).alive()
		if l == nil {
			return false
		}
		list, err := l.log.List(ctx)
		return err == nil && slices.ContainsFunc(list, func(m log.Replica) bool { return m.ID == joiner.id && m.Voter })
	}
	for !voter() {
		if wait(ctx.Done(), 100*time.Millisecond); ctx.Err() != nil {
			return // it stays, as a learner perhaps
		}
	}
	for ctx.Err() == nil {
		if l := r.leader(rng).alive(); l != nil && r.leader(rng) != leaver {
			if err := l.log.Remove(ctx, leaver.id); err == nil {
				r.mu.Lock()
				r.nodes = slices.DeleteFunc(r.nodes, func(n *node) bool { return n == leaver })
				r.mu.Unlock()
				leaver.crash()
				return
			}
		} else if l != nil {
			_ = l.log.Transfer(ctx, "")
		}
		wait(ctx.Done(), 200*time.Millisecond)
	}
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64, size int, length, pace time.Duration, faults []fault) (v verdict) {
	dir, err := os.MkdirTemp(scratch(), "registrard-sim-")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := &run{
			t: t, dir: dir, net: newNetwork(source(seed, 0)), founders: map[string]string{}, h: history.New(),
			streams: make(chan history.Stream, 16), faults: faults, injected: map[string]int{}, busy: pace,
		}
		for i := range size {
			n := &node{r: r, id: fmt.Sprintf("n%d", i+1), addr: fmt.Sprintf("n%d:1", i+1)}
			n.dir = filepath.Join(dir, n.id+"-0")
			r.nodes = append(r.nodes, n)
			r.founders[n.id] = n.addr
		}
		began := time.Now()
		v = r.whole(seed, length)
		v.simulated, v.dir = time.Since(began), dir
	})
	if len(v.violations) == 0 {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	return v
}

func (r *run) whole(seed uint64, length time.Duration) (v verdict) {
	var founding sync.WaitGroup
	for _, n := range r.nodes {
		founding.Go(func() { r.restart(n) })
	}
	founding.Wait()

	clients, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	id := 0
	client := func(do func(context.Context, int, *rand.Rand), count int) {
		for range count {
			id++
			own := id
			asking.Go(func() { do(clients, own, source(seed, uint64(own))) })
		}
	}
	client(r.operator, 4)
	client(r.reader, 2)
	client(r.master, 2)
	client(r.watcher, 2)
	trouble, calm := context.WithTimeout(context.Background(), length)
	r.nemesis(trouble, source(seed, 1000))
	calm()

	// Healed but for one member that stays down: a write must succeed and all others must agree, whatever it was before;
	// and all once it is back.
	rng := source(seed, 1001)
	absent := r.any(rng)
	absent.crash()
	r.net.heal()
	for _, n := range r.members() {
		if n != absent {
			r.restart(n)
		}
	}
	r.converge(rng, "without "+absent.id)
	r.restart(absent)
	r.converge(rng, "with all")
	stop()
	asking.Wait()
	close(r.streams)
	v = r.judge()
	for _, n := range r.members() {
		n.stop()
	}
	r.zombies.Wait()
	if v.violations = append(v.violations, r.replay()...); len(v.violations) > 0 {
		r.keep(seed, v)
	}
	return v
}

// A disk that lies is caught, by more than one checker: what was acknowledged is gone, and what was read before.
func TestLyingDisksAreCaught(t *testing.T) {
	v := simulate(t, 1, 3, 10*time.Second, 60*time.Millisecond, lies)
	caught := map[string]int{}
	for _, violation := range v.violations {
		caught[violation.Checker]++
	}
	t.Log(caught)
	if caught["durability"] == 0 || caught["real time"] == 0 || caught["replicas"] == 0 || caught["harness"] > 0 {
		t.Errorf("caught by %v", caught)
	}
	if err := os.RemoveAll(v.dir); err != nil {
		t.Error(err)
	}
}

// converge waits until a write succeeds and every member has it. Where that does not happen the cluster is wedged.
func (r *run) converge(rng *rand.Rand, who string) {
	deadline := time.Now().Add(2 * time.Minute)
	written := uint64(0)
	for i := 0; written == 0; i++ {
		id := fmt.Sprint("healed ", who, i)
		c := r.propose(rng, history.Call{Client: 999, Kind: "agent.admit", Agent: id, Value: "v0", RequestID: id})
		if c.Answer == history.Yes {
			written = c.Index
		} else if time.Now().After(deadline) {
			r.complain("liveness", "no write for two minutes after all was healed, %s:\n%s", who, r.describe())
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, n := range r.members() {
		for l := n.alive(); l != nil && l.State().Index() < written; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				r.complain("liveness", "%s is at %d, and %d was written two minutes ago:\n%s", l.name, l.State().Index(), written, r.describe())
				return
			}
		}
	}
}

func (r *run) describe() string {
	var b strings.Builder
	for _, n := range r.members() {
		if l := n.alive(); l != nil {
			fmt.Fprintf(&b, "  %s: %+v\n", l.name, l.log.Status())
		} else {
			fmt.Fprintf(&b, "  %s is down\n", n.id)
		}
	}
	return b.String()
}

// judge has every checker look at what was seen.
func (r *run) judge() (v verdict) {
	v.injected = r.injected
	furthest := &life{}
	for _, n := range r.members() {
		if l := n.alive(); l != nil && (furthest.Registrar == nil || l.State().Index() > furthest.State().Index()) {
			furthest = l
		}
	}
	r.mu.Lock()
	v.violations = append(r.problems, r.net.broken...)
	r.mu.Unlock()
	if furthest.Registrar == nil {
		return v
	}
	all, whole := changes(furthest.State())
	if !whole {
		v.violations = append(v.violations, history.Violation{Checker: "harness", What: "the run is longer than what is kept of changes"})
		return v
	}
	e := history.Evidence{Calls: r.h.Calls(), Log: all, Replicas: &r.replicas}
	for s := range r.streams {
		e.Streams = append(e.Streams, s)
	}
	v.violations = append(v.violations, history.Check(e)...)
	v.calls = len(e.Calls)
	v.yes, _, v.perhaps = history.Count(e.Calls)
	v.indexes, v.terms, v.compared = furthest.State().Index(), len(r.net.leaders), r.replicas.Compared()
	return v
}

// replay reads the logs that the members have left, and holds the registries that they give against each other and
// against what was seen.
func (r *run) replay() (violations []history.Violation) {
	for _, n := range r.members() {
		p := &player{Registry: fsm.New()}
		if _, err := raftlog.Visit(n.dir, p); err != nil {
			violations = append(violations, history.Violation{Checker: "replay", What: fmt.Sprintf("%s: %v", n.id, err)})
			continue
		}
		s := p.State()
		r.replicas.Saw(n.id+" replayed", s.Index(), s.Digest(), s.Chain())
	}
	return append(violations, r.replicas.Differences()...)
}

// player plays what a log keeps to a registry.
type player struct{ *fsm.Registry }

func (p *player) Snapshot(_ uint64, newest bool, state io.Reader) error {
	if newest {
		return p.Restore(state)
	}
	return nil
}

func (p *player) Entry(index, _ uint64, command []byte) error {
	if command == nil || index <= p.State().Index() {
		return nil
	}
	_, err := p.Apply(index, command)
	return err
}

// keep writes down what a failure was, beside the directories of the members: registrard inspect reads them.
func (r *run) keep(seed uint64, v verdict) {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d violations\n", seed, len(v.violations))
	for _, violation := range v.violations {
		fmt.Fprintln(&b, violation)
	}
	for _, c := range r.h.Calls() {
		fmt.Fprintf(&b, "%+v\n", c)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "history"), []byte(b.String()), 0o600); err != nil {
		r.t.Error(err)
	}
}

func source(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// scratch is where members keep their files: in memory, if there is such a place.
func scratch() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

// Seeds with all faults, on three and five members. SOAK=2h goes on for that long; SEED=n runs one.
func TestSeeds(t *testing.T) {
	first, count, length, until := uint64(1), 4, 40*time.Second, time.Time{}
	pace := 60 * time.Millisecond // between two calls of a client, at most
	if soak, err := time.ParseDuration(os.Getenv("SOAK")); err == nil {
		first, count, until = uint64(time.Now().UnixNano()), 1<<30, time.Now().Add(soak)
		length, pace = 30*time.Minute, 2*time.Second
	}
	if seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		first, count = seed, 1
	}
	var mu sync.Mutex
	var all verdict
	all.injected = map[string]int{}
	seeds := 0
	t.Run("seed", func(t *testing.T) {
		for i := 0; i < count && (until.IsZero() || time.Now().Before(until)); i++ {
			seed := first + uint64(i)
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				v := simulate(t, seed, 3+2*(i%2), length, pace, faults)
				for n, violation := range v.violations {
					if n < 10 {
						t.Errorf("%.4000s", violation.String())
					}
				}
				if t.Failed() {
					t.Logf("history and directories are in %s", v.dir)
				}
				mu.Lock()
				defer mu.Unlock()
				seeds++
				all.simulated += v.simulated
				all.calls, all.yes, all.perhaps = all.calls+v.calls, all.yes+v.yes, all.perhaps+v.perhaps
				all.terms, all.indexes, all.compared = all.terms+v.terms, all.indexes+v.indexes, all.compared+v.compared
				all.violations = append(all.violations, v.violations...)
				for name, n := range v.injected {
					all.injected[name] += n
				}
			})
		}
	})
	t.Logf("%d seeds, %s simulated, %d calls (%d acknowledged, %d perhaps), %d indexes, %d terms, %d states compared, %d violations",
		seeds, all.simulated.Round(time.Second), all.calls, all.yes, all.perhaps, all.indexes, all.terms, all.compared, len(all.violations))
	for _, name := range slices.Sorted(maps.Keys(all.injected)) {
		t.Logf("  %-36s %d times", name, all.injected[name])
	}
}
