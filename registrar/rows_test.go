package registrar

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
)

// Row Benchmarks of the Mesos registrar's tests: what its three benchmarks do, and what must have come of it. How long
// it takes is measured elsewhere (docs/performance.md); here every answer counts.
func TestRowBenchmarks(t *testing.T) {
	const agents = 10_000
	ids := make([]string, agents)
	for i := range ids {
		ids[i] = fmt.Sprintf("a%05d", i)
	}
	shuffled := func() []string {
		s := append([]string(nil), ids...)
		rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		return s
	}
	// all asks for an operation on each agent, many at once and nobody waiting for another, as the original does.
	all := func(t *testing.T, n *node, ids []string, changed bool, op func(id string) fsm.Op) {
		t.Helper()
		var callers sync.WaitGroup
		for i := range 64 {
			callers.Go(func() {
				for j := i; j < len(ids); j += 64 {
					result, err := n.Propose(t.Context(), []fsm.Proposal{{Op: op(ids[j])}})
					if err != nil || result.Outcomes[0].Rejection != nil || result.Outcomes[0].Changed != changed {
						t.Errorf("%s: %+v, %v", ids[j], result, err)
						return
					}
				}
			})
		}
		callers.Wait()
	}
	admit := func(id string) fsm.Op { return fsm.AdmitAgent{Agent: agent(t, id)} }
	unreachable := func(id string) fsm.Op { return fsm.MarkUnreachable{ID: id} }
	reachable := func(id string) fsm.Op { return fsm.ReachAgent{Agent: agent(t, id)} }
	remove := func(id string) fsm.Op { return fsm.RemoveAgent{ID: id} }
	count := func(t *testing.T, n *node, admitted, unreachable int) {
		t.Helper()
		s := n.State()
		if s.Count(fsm.Admitted) != admitted || s.Count(fsm.Unreachable) != unreachable {
			t.Fatalf("%d admitted and %d unreachable, want %d and %d", s.Count(fsm.Admitted), s.Count(fsm.Unreachable), admitted, unreachable)
		}
	}

	t.Run("admit, reach, recover, remove", func(t *testing.T) {
		t.Parallel()
		storage := new(memlog.Storage)
		n := startOn(t, storage, "n1", nil)
		n.leads(t)
		all(t, n, ids, true, admit)
		all(t, n, shuffled(), false, reachable)
		second := startOn(t, storage, "n2", nil)
		second.log.TakeReign()
		second.leads(t)
		count(t, second, agents, 0)
		all(t, second, shuffled(), true, remove)
		count(t, second, 0, 0)
	})
	t.Run("admit, mark unreachable, reach", func(t *testing.T) {
		t.Parallel()
		n := start(t, nil)
		n.leads(t)
		all(t, n, ids, true, admit)
		all(t, n, shuffled(), true, unreachable)
		count(t, n, 0, agents)
		all(t, n, shuffled(), true, reachable)
		count(t, n, agents, 0)
	})
	t.Run("admit, mark unreachable, prune half", func(t *testing.T) {
		t.Parallel()
		n := start(t, nil)
		n.leads(t)
		all(t, n, ids, true, admit)
		all(t, n, shuffled(), true, unreachable)
		if _, err := n.Apply(t.Context(), fsm.PruneAgents{Unreachable: ids[:agents/2]}); err != nil {
			t.Fatal(err)
		}
		count(t, n, 0, agents/2)
		if _, ok := n.State().Agent(ids[agents/2]); !ok {
			t.Error("a neighbour of the pruned half is gone too")
		}
	})
}
