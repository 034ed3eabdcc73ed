package clustertests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
)

// level waits until all nodes have applied the same index.
func (c *Cluster) level() (last []Status) {
	c.t.Helper()
	await(c.t, "all nodes at one index", func() error {
		last = last[:0]
		for _, node := range c.members() {
			status, err := node.status()
			if err != nil {
				return err
			}
			last = append(last, status)
		}
		for _, status := range last[1:] {
			if status.Index != last[0].Index {
				return fmt.Errorf("%s at %d, %s at %d", last[0].ID, last[0].Index, status.ID, status.Index)
			}
		}
		return nil
	})
	return last
}

// agree waits until they have, and holds their digests and chains against each other. It returns what they
// agree on.
func (c *Cluster) agree() Status {
	c.t.Helper()
	last := c.level()
	for _, status := range last[1:] {
		if status.Digest != last[0].Digest || status.Chain != last[0].Chain {
			c.t.Errorf("nodes differ at index %d: %+v and %+v", status.Index, last[0], status)
		}
	}
	return last[0]
}

// holds checks, on every node by itself, that all that was acknowledged is there and nothing is that was answered
// with "no".
func (w *writers) holds(c *Cluster) {
	w.t.Helper()
	if len(w.yes) == 0 {
		w.t.Fatal("nothing was acknowledged: the test has shown nothing")
	}
	for _, node := range c.Nodes {
		there := node.agents(w.t)
		for _, id := range w.yes {
			if !there[id] {
				w.t.Errorf("%s: agent %s was acknowledged and is lost", node.ID, id)
			}
		}
		for _, id := range w.no {
			if there[id] {
				w.t.Errorf("%s: agent %s was answered with no and is there", node.ID, id)
			}
		}
		if most := len(w.yes) + len(w.perhaps); len(there) > most {
			w.t.Errorf("%s: %d agents, and at most %d were admitted", node.ID, len(there), most)
		}
	}
	w.t.Logf("%d acknowledged, %d perhaps, %d no", len(w.yes), len(w.perhaps), len(w.no))
}

// agents lists the admitted agents of this very node.
func (n *Node) agents(t testing.TB) map[string]bool { t.Helper(); return n.in(t, fsm.Admitted) }

// in is the agents of a phase.
func (n *Node) in(t testing.TB, phase fsm.Phase) map[string]bool {
	t.Helper()
	cl, err := client.New(client.Config{Addresses: []string{n.HTTP}, AskOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	there := map[string]bool{}
	for agent, err := range cl.Agents(ctx, client.AgentQuery{Phase: phase, Consistency: registrar.Stale}) {
		if err != nil {
			t.Fatal(err)
		}
		if there[agent.ID] {
			t.Errorf("%s lists %s twice", n.ID, agent.ID)
		}
		there[agent.ID] = true
	}
	return there
}

// changes reads every change that this node has kept, up to an index that it has reached. The index may be one of an
// entry that changed nothing: then it is the stream's own word that it is past it, which takes some seconds.
func (n *Node) changes(t testing.TB, until uint64) (all []fsm.Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/v1/watch?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		change := decode[fsm.Change](t, lines.Bytes())
		if change.Kind != "" {
			all = append(all, change)
		}
		if change.Index >= until && (change.Kind == "" || change.Last) {
			return all
		}
	}
	t.Fatalf("%s: the watch ended before index %d", n.ID, until)
	return nil
}

// history is what each node has kept of all changes up to one that is made now; the nodes agree then.
func (c *Cluster) history(t testing.TB) map[*Node][]fsm.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	last, err := c.client().Propose(ctx, []fsm.Proposal{{Op: fsm.UpdateWeights{Weights: []fsm.Weight{{Role: "last", Weight: 2}}}}})
	if err != nil {
		t.Fatal(err)
	}
	c.agree()
	all := map[*Node][]fsm.Change{}
	for _, node := range c.Nodes {
		all[node] = node.changes(t, last.Index)
	}
	return all
}

// decode reads JSON that a command has printed.
func decode[T any](t testing.TB, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
