package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/registrard/registrard/fsm"
)

// fleet is the agents of one run. Callers toggle them between admitted and unreachable; each has those whose
// number leaves its own when divided, so that no two meet.
type fleet struct {
	run         string // part of every id
	size        int
	unreachable []bool // of the caller who has the agent
}

// How agents are made and taken away.
const (
	fillBatch   = 500
	fillWorkers = 8
)

func newFleet() *fleet { return &fleet{run: fmt.Sprintf("%08x", rand.Uint32())} }

func (f *fleet) id(i int) string {
	digits := strconv.Itoa(i)
	return "bench-" + f.run + "-" + "00000000"[:max(0, 8-len(digits))] + digits
}

// agent is one with 300 bytes of info. The callers share the processors with what they measure, so it is put
// together from the pieces of one that was made as every agent's is.
func (f *fleet) agent(i int) fsm.AgentObject {
	id := f.id(i)
	return fsm.AgentObject{ID: id, Info: fsm.Info(pieces[0] + id + pieces[1])}
}

// pieces of an agent's info are what stands before and behind its id.
var pieces = func() []string {
	const id = "ID"
	object, err := fsm.AgentInfo{
		ID: id, Hostname: "node-00000000.rack-00.example.internal",
		Resources:  []fsm.Resource{{Name: "cpus", Scalar: &fsm.Scalar{Value: 16}}, {Name: "mem", Scalar: &fsm.Scalar{Value: 65536}}},
		Attributes: []fsm.Attribute{{Name: "rack", Text: &fsm.Text{Value: "r00"}}},
	}.Object()
	if err != nil {
		panic(err) // all of it is written above
	}
	return strings.SplitN(string(object.Info), id, 2)
}()

// grow admits agents until there are size of them.
func (f *fleet) grow(ctx context.Context, t target, size int, progress func(done, of int)) error {
	var done atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(fillWorkers)
	from := f.size
	for first := from; first < size && ctx.Err() == nil; first += fillBatch {
		work.Go(func() error {
			var ops []fsm.Op
			for i := first; i < min(first+fillBatch, size); i++ {
				ops = append(ops, fsm.AdmitAgent{Agent: f.agent(i)})
			}
			if err := t.propose(ctx, ops); err != nil {
				return fmt.Errorf("admit the agents to measure with: %w", err)
			}
			progress(int(done.Add(int64(len(ops)))), size-from)
			return nil
		})
	}
	// What was tried is taken away again, whatever came of it.
	f.size = max(f.size, size)
	f.unreachable = append(f.unreachable, make([]bool, f.size-len(f.unreachable))...)
	return work.Wait()
}

// toggle proposes that n of a caller's agents change between admitted and unreachable.
func (f *fleet) toggle(ctx context.Context, t target, l Load, caller int) error {
	ops := make([]fsm.Op, 0, l.Batch)
	chosen := make([]int, 0, l.Batch)
	own := (f.size - caller + l.Callers - 1) / l.Callers
	first := rand.IntN(own)
	for n := range min(l.Batch, own) {
		i := caller + (first+n)%own*l.Callers
		chosen = append(chosen, i)
		if f.unreachable[i] {
			ops = append(ops, fsm.ReachAgent{Agent: f.agent(i)})
		} else {
			ops = append(ops, fsm.MarkUnreachable{ID: f.id(i), Reason: "bench"})
		}
	}
	if err := t.propose(ctx, ops); err != nil {
		return err
	}
	for _, i := range chosen {
		f.unreachable[i] = !f.unreachable[i]
	}
	return nil
}

// ids lists some agents, in order, beginning again behind the last.
func (f *fleet) ids(first, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = f.id((first + i) % f.size)
	}
	return ids
}

// heal makes all agents admitted again.
func (f *fleet) heal(ctx context.Context, t target) error {
	var ops []fsm.Op
	for i, away := range f.unreachable {
		if away {
			ops = append(ops, fsm.ReachAgent{Agent: f.agent(i)})
		}
	}
	for batch := range slices.Chunk(ops, fillBatch) {
		if err := t.propose(ctx, batch); err != nil {
			return err
		}
	}
	clear(f.unreachable)
	return nil
}

// cleanup takes every agent away, in whatever phase it is left.
func (f *fleet) cleanup(ctx context.Context, r *remote) error {
	if f.size == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	var work errgroup.Group
	work.SetLimit(fillWorkers)
	for first := 0; first < f.size; first += fillBatch {
		work.Go(func() error {
			ids := f.ids(first, min(fillBatch, f.size-first))
			ps := []fsm.Proposal{{Op: fsm.PruneAgents{Unreachable: ids}}}
			for _, id := range ids {
				ps = append(ps, fsm.Proposal{Op: fsm.RemoveAgent{ID: id}}) // refused for those pruned
			}
			_, err := r.Propose(ctx, ps)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("agents whose ids begin with bench-%s- are left behind: %w", f.run, err)
	}
	f.size, f.unreachable = 0, nil
	return nil
}
