package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/registrard/registrard/fsm"
)

// mesosSizes are those of the Mesos registrar's own benchmarks.
var mesosSizes = []int{10_000, 20_000, 30_000, 50_000}

// mesosCallers propose at a time. Mesos proposes all at once; the queue here refuses more than it holds.
const mesosCallers = 4096

// mesos does the three benchmarks of the Mesos registrar, each from an empty registry, on one node and on several.
func (o Own) mesos(ctx context.Context, cfg Config) error {
	nodes := []int{1}
	if o.Nodes > 1 {
		nodes = append(nodes, o.Nodes)
	}
	for _, n := range nodes {
		for _, agents := range mesosSizes {
			if agents > max(cfg.Agents, mesosSizes[0]) {
				break
			}
			cfg.Progress(fmt.Sprintf("mesos, %d agents, nodes: %d", agents, n), 0, 0)
			err := o.with(ctx, n, func(c *cluster, leading *node) error {
				for _, part := range []string{"mesos-admit", "", "mesos-remove", "mesos-reach", "mesos-prune"} {
					var found []Row
					var err error
					if part == "" {
						found, leading, err = c.recover(ctx, leading)
					} else {
						var a answer
						a, err = leading.order(order{Do: part, Agents: agents})
						found = a.Rows
					}
					if err != nil {
						return err
					}
					for _, row := range found {
						row.Name, row.Agents = rowMesos, agents
						row.More = map[string]float64{"nodes": float64(n)}
						cfg.Report(row)
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", rowMesos, err)
			}
		}
	}
	return nil
}

// recover is what it takes until another registrar holds the registry: the only node is started again, of several
// another one is told to lead.
func (c *cluster) recover(ctx context.Context, leading *node) ([]Row, *node, error) {
	var start time.Time
	if len(c.nodes) == 1 {
		if err := leading.kill(); err != nil {
			return nil, nil, err
		}
		start = time.Now()
		if err := leading.start(); err != nil {
			return nil, nil, err
		}
	} else {
		r, err := dial(ctx, []string{"http://" + leading.http}, nil)
		if err != nil {
			return nil, nil, err
		}
		defer r.Close()
		start = time.Now()
		next := c.nodes[0]
		if next == leading {
			next = c.nodes[1]
		}
		if err := r.Lead(ctx, next.id); err != nil {
			return nil, nil, err
		}
	}
	leading, err := c.leader(ctx)
	row := summary([]time.Duration{time.Since(start)})
	row.What = "recover"
	return []Row{row}, leading, err
}

// mesos does one part of the benchmarks within the leading process.
func (i *inside) mesos(ctx context.Context, part string, n int) (rows []Row, err error) {
	phase := func(what string, count int, op func(agent int) fsm.Op) {
		if err == nil {
			var row Row
			row, err = i.all(ctx, count, op)
			row.What = what
			rows = append(rows, row)
		}
	}
	f := i.fleet
	f.run = "mesos"
	admit := func(a int) fsm.Op { return fsm.AdmitAgent{Agent: mesosAgent(f.id(a))} }
	reach := func(a int) fsm.Op { return fsm.ReachAgent{Agent: mesosAgent(f.id(a))} }
	unreach := func(a int) fsm.Op { return fsm.MarkUnreachable{ID: f.id(a)} }
	remove := func(a int) fsm.Op { return fsm.RemoveAgent{ID: f.id(a)} }
	prune := func(first, end int) func(int) fsm.Op {
		return func(int) fsm.Op {
			f.size = n
			return fsm.PruneAgents{Unreachable: f.ids(first, end-first)}
		}
	}
	switch part {
	case "mesos-admit":
		phase("admit", n, admit)
		phase("reachable, no change", n, reach)
	case "mesos-remove":
		phase("remove", n, remove)
	case "mesos-reach":
		phase("admit", n, admit)
		phase("unreachable", n, unreach)
		phase("reachable", n, reach)
		phase("remove", n, remove)
	case "mesos-prune":
		phase("admit", n, admit)
		phase("unreachable", n, unreach)
		phase("prune half in one operation", 1, prune(0, n/2))
		phase("prune the rest", 1, prune(n/2, n))
	}
	return rows, err
}

// mesosAgent is as in the benchmarks of Mesos: two text attributes, cpus, mem and disk.
func mesosAgent(id string) fsm.AgentObject {
	object, err := fsm.AgentInfo{
		ID: id, Hostname: "localhost",
		Resources: []fsm.Resource{{Name: "cpus", Scalar: &fsm.Scalar{Value: 1}}, {Name: "mem", Scalar: &fsm.Scalar{Value: 512}},
			{Name: "disk", Scalar: &fsm.Scalar{Value: 1024}}},
		Attributes: []fsm.Attribute{{Name: "foo", Text: &fsm.Text{Value: "bar"}}, {Name: "baz", Text: &fsm.Text{Value: "qux"}}},
	}.Object()
	if err != nil {
		panic(err) // all of it is written above
	}
	return object
}

// all proposes one operation for each agent, in random order, as many at a time as the queue takes.
func (i *inside) all(ctx context.Context, n int, op func(agent int) fsm.Op) (Row, error) {
	order := rand.Perm(n)
	ops := make([]fsm.Op, n)
	for k, agent := range order {
		ops[k] = op(agent) // made before: what is measured begins where Mesos's begins
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var work sync.WaitGroup
	start := time.Now()
	for range min(n, mesosCallers) {
		work.Go(func() {
			for k := next.Add(1) - 1; k < int64(n) && failed.Load() == nil; k = next.Add(1) - 1 {
				if err := i.target.propose(ctx, ops[k:k+1]); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	work.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		return Row{}, *err
	}
	return Row{Count: n, PerSecond: float64(n) / took.Seconds(), P50: milliseconds(took), P99: milliseconds(took), Max: milliseconds(took)}, nil
}
