package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/registrard/registrard/log"
)

func replica(id, addr string) log.Replica { return log.Replica{ID: id, Addr: addr} }

// fault is something that goes wrong for a while. It returns what makes it good again, nil where nothing is to be done.
type fault struct {
	name string
	do   func(r *run, rng *rand.Rand) (heal func())
}

var faults = []fault{
	{"crash", func(r *run, rng *rand.Rand) func() {
		n := r.any(rng)
		n.crash()
		return func() { r.restart(n) }
	}},
	{"crash of the leader", func(r *run, rng *rand.Rand) func() {
		n := r.leader(rng)
		n.crash()
		return func() { r.restart(n) }
	}},
	{"crash of all", func(r *run, _ *rand.Rand) func() {
		for _, n := range r.members() {
			n.crash()
		}
		return func() {
			for _, n := range r.members() {
				r.restart(n)
			}
		}
	}},
	{"one cut off", func(r *run, rng *rand.Rand) func() {
		n := r.leader(rng)
		if rng.IntN(2) == 0 {
			n = r.any(rng)
		}
		return r.cut(func(from, to string) bool { return from == n.id || to == n.id })
	}},
	{"halves", func(r *run, rng *rand.Rand) func() {
		side := map[string]bool{}
		for _, n := range r.members() {
			side[n.id] = rng.IntN(2) == 0
		}
		return r.cut(func(from, to string) bool { return side[from] != side[to] })
	}},
	{"one way", func(r *run, rng *rand.Rand) func() {
		n := r.leader(rng)
		out := rng.IntN(2) == 0
		return r.cut(func(from, to string) bool { return out && from == n.id || !out && to == n.id })
	}},
	{"bridge", func(r *run, rng *rand.Rand) func() {
		all := r.members()
		bridge := all[rng.IntN(len(all))].id
		side := map[string]bool{}
		for i, n := range all {
			side[n.id] = i%2 == 0
		}
		return r.cut(func(from, to string) bool { return from != bridge && to != bridge && side[from] != side[to] })
	}},
	{"loss", func(r *run, rng *rand.Rand) func() {
		share := 0.05 + 0.4*rng.Float64()
		return r.links(func(l *link) { l.loss = share })
	}},
	{"delay", func(r *run, rng *rand.Rand) func() {
		d := time.Duration(1+rng.IntN(150)) * time.Millisecond
		return r.links(func(l *link) { l.delay = d })
	}},
	{"heavy tails", func(r *run, rng *rand.Rand) func() {
		share := 0.01 + 0.2*rng.Float64()
		return r.links(func(l *link) { l.tail = share })
	}},
	{"transfer", func(r *run, rng *rand.Rand) func() {
		if l := r.leader(rng).alive(); l != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_ = l.log.Transfer(ctx, []string{"", r.any(rng).id}[rng.IntN(2)]) // it may well fail
		}
		return nil
	}},
	{"snapshot", func(r *run, rng *rand.Rand) func() {
		for _, n := range r.members() {
			if l := n.alive(); l != nil && rng.IntN(2) == 0 {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				_ = l.log.Snapshot(ctx)
				cancel()
			}
		}
		return nil
	}},
	{"a member joins and another leaves", func(r *run, rng *rand.Rand) func() {
		r.replace(rng)
		return nil
	}},
}

// lies are disks that say that they have written and have not: all members lose their last seconds at once. No log can
// survive that; it is here to see that it is noticed.
var lies = []fault{{"lying disks", func(r *run, _ *rand.Rand) func() {
	old := map[*node]string{}
	for _, n := range r.members() {
		if n.alive() == nil {
			continue
		}
		old[n] = filepath.Join(r.dir, n.id+"-old")
		if err := photograph(old[n], n.dir); err != nil {
			r.complain("harness", "%v", err)
		}
	}
	time.Sleep(3 * time.Second)
	for _, n := range r.members() {
		n.crash()
	}
	for n, dir := range old {
		if err := errors.Join(os.RemoveAll(n.dir), os.Rename(dir, n.dir)); err != nil {
			r.complain("harness", "%v", err)
		}
	}
	return func() {
		for _, n := range r.members() {
			r.restart(n)
		}
	}
}}}

// nemesis has something go wrong, mostly two things at once, with quiet times between, until it is told to stop.
func (r *run) nemesis(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		f := r.faults[rng.IntN(len(r.faults))]
		r.injected[f.name]++
		heal := f.do(r, rng)
		if heal != nil {
			wait(ctx.Done(), time.Duration(50+rng.IntN(8000))*time.Millisecond)
			heal()
		}
		wait(ctx.Done(), time.Duration(rng.IntN(4000))*time.Millisecond)
	}
}

// cut cuts the links for which it is asked.
func (r *run) cut(which func(from, to string) bool) (heal func()) {
	return r.links(func(*link) {}, func(from, to string, l *link) { l.cut = which(from, to) })
}

// links changes all links, and puts them back.
func (r *run) links(each func(*link), more ...func(from, to string, l *link)) (heal func()) {
	all := r.members()
	for _, a := range all {
		for _, b := range all {
			if a != b {
				r.net.set(a.id, b.id, func(l *link) {
					each(l)
					for _, m := range more {
						m(a.id, b.id, l)
					}
				})
			}
		}
	}
	return r.net.heal
}
