package clustertests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// All faults, two at a time, for a short while: with the race detector, and each run another.
func TestFaults(t *testing.T) {
	t.Parallel()
	reportMissing(t)
	o := options{nodes: 3, clients: 6, think: 10 * time.Millisecond, network: true, disks: noDisks() == "", flags: []string{"--snapshot-bytes", "65536"}}
	r := o.start(t)
	r.plague()
	wait(t.Context(), 25*time.Second)
	s := &summary{}
	s.add(r.settle().clean(t))
	t.Logf("\n%s", s)
}

// The same with agents that register and fall silent, so that the watchman writes too.
func TestFaultsUnderLiveness(t *testing.T) {
	t.Parallel()
	o := options{nodes: 3, clients: 6, think: 20 * time.Millisecond, network: true, gates: true, liveness: true, flags: []string{"--snapshot-bytes", "65536"}}
	r := o.start(t)
	r.plague()
	wait(t.Context(), 15*time.Second)
	s := &summary{}
	s.add(r.settle().clean(t))
	t.Logf("\n%s", s)
}

// TestSoak runs clusters for as long as SOAK says, SOAK_CLUSTERS of them side by side, one after the other with
// parameters drawn anew, and ends with one table. SOAK_DIR is where the evidence of violations is kept, and
// SOAK_FAULTS names those that are wanted; without it each run draws some.
func TestSoak(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK says how long, such as 1h: make soak")
	}
	clusters, err := strconv.Atoi(os.Getenv("SOAK_CLUSTERS"))
	if err != nil {
		clusters = 2
	}
	reportMissing(t)
	s := &summary{}
	until := time.Now().Add(lasts)
	t.Run("clusters", func(t *testing.T) {
		for i := range clusters {
			t.Run(strconv.Itoa(i+1), func(t *testing.T) {
				t.Parallel()
				bad := 0
				for n := 1; time.Until(until) > time.Minute && bad < 5; n++ {
					if !t.Run(strconv.Itoa(n), func(t *testing.T) { s.add(swarm(t, time.Until(until)).clean(t)) }) {
						bad++
					}
				}
			})
		}
	})
	t.Logf("\n%s", s)
}

// swarm is one run of a few minutes whose every parameter is drawn.
func swarm(t *testing.T, most time.Duration) report {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	o := options{
		nodes: 3 + 2*(rng.IntN(5)/3), seed: seed, clients: 2 + rng.IntN(6), think: time.Duration(10+rng.IntN(60)) * time.Millisecond,
		network: true, disks: noDisks() == "", liveness: rng.IntN(5) == 0, quiet: time.Duration(500+rng.IntN(3000)) * time.Millisecond,
		flags: []string{
			"--snapshot-bytes", strconv.Itoa(32 << (10 + rng.IntN(7))),
			"--heartbeat-timeout", fmt.Sprintf("%dms", 150+rng.IntN(400)),
		},
	}
	if rng.IntN(3) > 0 {
		o.binary = plainBinary(t) // two of three without the race detector, and so faster
	}
	o.gates = rng.IntN(4) == 0
	var names []string
	for _, f := range faults {
		if only := os.Getenv("SOAK_FAULTS"); strings.Contains(only, f.name) || only == "" && rng.IntN(3) > 0 {
			names = append(names, f.name)
		}
	}
	r := o.start(t)
	r.plague(names...)
	wait(t.Context(), min(most, time.Duration(60+rng.IntN(120))*time.Second))
	return r.settle()
}

// reportMissing says which faults cannot be injected here.
func reportMissing(t *testing.T) {
	t.Helper()
	for _, why := range []string{noNetwork(), noDisks(), needsStrace(nil)} {
		if why != "" {
			t.Logf("some faults are left out: %s", why)
		}
	}
}

// summary is what many runs came to.
type summary struct {
	mu    sync.Mutex
	rows  map[string]row
	total row
}

type row struct {
	tally
	runs       int
	ran        time.Duration // of the runs in which it was injected
	calls      int
	perhaps    int
	violations int
	outage     time.Duration
}

func (s *summary) add(r report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]row{}
	}
	for name, t := range r.injected {
		s.rows[name] = s.rows[name].plus(r, t)
	}
	s.total = s.total.plus(r, tally{})
}

func (w row) plus(r report, t tally) row {
	return row{tally{w.times + t.times, w.lasts + t.lasts}, w.runs + 1, w.ran + r.lasted, w.calls + r.calls, w.perhaps + r.perhaps,
		w.violations + len(r.violations), max(w.outage, r.outage)}
}

// String is one table.
func (s *summary) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "fault\t times injected\t time under it\t hours of runs with it\t operations checked\t unknown answers\t violations\t worst write outage")
	print := func(name string, r row) {
		fmt.Fprintf(w, "%s\t %d\t %s\t %.2f\t %d\t %d\t %d\t %s\n", name, r.times, r.lasts.Round(time.Second), r.ran.Hours(), r.calls, r.perhaps, r.violations,
			r.outage.Round(time.Millisecond))
	}
	for _, f := range faults {
		if r, injected := s.rows[f.name]; injected {
			print(f.name, r)
			s.total.times += r.times
			s.total.lasts += r.lasts
		}
	}
	print(fmt.Sprintf("all %d runs", s.total.runs), s.total)
	s.total.tally = tally{}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}
