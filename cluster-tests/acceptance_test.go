package clustertests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/zklog/zktest"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// What must hold whatever the log is kept in.
func TestAcceptance(t *testing.T) {
	t.Parallel()
	for _, backend := range []struct {
		name  string
		start func(t *testing.T) *Cluster
	}{
		{"raft", func(t *testing.T) *Cluster { return newCluster(t, 3) }},
		{"leveldb", func(t *testing.T) *Cluster { return newUnfounded(t, 1, "--log", "leveldb") }},
		{"zookeeper", func(t *testing.T) *Cluster { return newOnZooKeeper(t, zktest.Start(t, 3), 3) }},
	} {
		t.Run(backend.name, func(t *testing.T) {
			t.Parallel()
			c := backend.start(t)
			t.Run("scripts", func(t *testing.T) { tellScripts(t, c) })
			t.Run("fleet", func(t *testing.T) { loadFleet(t, c) })
		})
	}
}

// newUnfounded starts n nodes of a log that needs no founding, and returns once each is ready.
func newUnfounded(t *testing.T, n int, flags ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, flags: flags}
	t.Cleanup(func() { c.close() })
	for i := range n {
		c.node(fmt.Sprintf("n%d", i+1)).start(t)
	}
	for _, node := range c.Nodes {
		node.awaitReady(t)
	}
	return c
}

// loadFleet loads the whole fleet of gpu-fleet-4278.csv, or one made here where that is absent, with the program's own
// command while the leader is killed half-way: every agent is admitted once and on every node.
func loadFleet(t *testing.T, c *Cluster) {
	t.Helper()
	fleet, agents := fleetFile(t)
	leader := c.leader()
	before, err := leader.status()
	if err != nil {
		t.Fatal(err)
	}
	load := exec.Command(binary(t), "load", "--fleet", fleet, "--address", strings.Join(c.addresses(), ","), "-o", "json")
	var out, errOut strings.Builder
	load.Stdout, load.Stderr = &out, &errOut
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "half of the fleet", func() error {
		status, err := leader.status()
		if err == nil && status.Agents.Admitted < agents/2 {
			err = fmt.Errorf("%d agents", status.Agents.Admitted)
		}
		return err
	})
	leader.kill(t)
	if len(c.Nodes) == 1 {
		leader.restart(t) // there is no other that could go on
	}
	if err := load.Wait(); err != nil {
		t.Fatalf("load: %v\n%s", err, errOut.String())
	}
	summary := decode[struct {
		Admitted int `json:"admitted"`
		Already  int `json:"already_admitted"`
		Rejected int `json:"rejected"`
	}](t, []byte(out.String()))
	if summary.Admitted != agents || summary.Already != 0 || summary.Rejected != 0 {
		t.Errorf("load said %+v, want %d admitted and nothing else", summary, agents)
	}
	if len(c.Nodes) > 1 {
		leader.restart(t)
	}
	agreed := c.agree()
	for _, node := range c.Nodes {
		if got := len(node.agents(t)); got != agents {
			t.Errorf("%s has %d agents, want %d", node.ID, got, agents)
		}
		admitted := map[string]int{}
		for _, change := range node.changes(t, agreed.Index) {
			if change.Index > before.Index {
				admitted[change.ID]++
			}
		}
		for id, times := range admitted {
			if times != 1 {
				t.Errorf("%s: %s was changed %d times", node.ID, id, times)
			}
		}
	}
	t.Logf("the fleet was loaded over the death of %s: %s", leader.ID, strings.TrimSpace(out.String()))
}

// tellScripts tells the stories of the state machine's own scripts to a running cluster, over HTTP: each operation
// must answer, and each watcher see, what the transcript says. What only a proposer inside could ask for is left out.
func tellScripts(t *testing.T, c *Cluster) {
	t.Helper()
	cl, err := client.New(client.Config{Addresses: c.addresses()})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	told := 0
	datadriven.Walk(t, filepath.Join("..", "fsm", "testdata", "script"), func(t *testing.T, path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if inside.Match(text) {
			return
		}
		told++
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "apply" || strings.HasPrefix(d.Expected, "bad input") { // shown by other paths; refused in other words
				return d.Expected
			}
			return tell(ctx, t, cl, d)
		})
		empty(ctx, t, cl)
	})
	if told < 8 {
		t.Errorf("only %d scripts were told", told)
	}
}

// inside is what cannot be asked for from outside: a reign, a limit, the author; mastership has its own requests.
var inside = regexp.MustCompile(`(?m)^apply .*(reign|limit|by|seen)=|^(master|member)\.|^show (master|members)`)

// tell proposes one command of a script and writes down what came of it.
func tell(ctx context.Context, t *testing.T, cl *client.Client, d *datadriven.TestData) string {
	t.Helper()
	var request wire.Operations
	for line := range strings.Lines(d.Input) {
		kind, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		operation := wire.Operation{Kind: fsm.Kind(kind), Args: []byte(args)}
		d.MaybeScanArgs(t, "id", &operation.RequestID)
		request.Operations = append(request.Operations, operation)
	}
	d.MaybeScanArgs(t, "epoch", &request.Epoch)
	results, err := cl.Operations(ctx, request)
	if err != nil {
		return fmt.Sprintf("%v\n", err)
	}
	var b strings.Builder
	for _, r := range results.Results {
		if b.WriteString(r.Outcome); r.Code != "" {
			fmt.Fprintf(&b, " %s: %s", r.Code, r.Message)
		}
		b.WriteByte('\n')
	}
	if !strings.Contains(d.Expected, "\n  ") {
		return b.String() // a stream would have to be waited for
	}
	for change, err := range cl.Watch(ctx, results.Index-1) {
		if err != nil {
			return fmt.Sprintf("%v\n", err)
		}
		fmt.Fprintf(&b, "  %s %q", change.Kind, change.ID)
		if change.Phase != change.Was {
			fmt.Fprintf(&b, " %s -> %s", or(change.Was), or(change.Phase))
		}
		if change.Reason != "" {
			fmt.Fprintf(&b, " (%s)", change.Reason)
		}
		b.WriteByte('\n')
		if change.Last {
			break
		}
	}
	return b.String()
}

func or(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// empty forgets everything that a script has left, so that the next one begins with nothing.
func empty(ctx context.Context, t *testing.T, cl *client.Client) {
	t.Helper()
	apply := func(op fsm.Op) {
		t.Helper()
		var refused *fsm.Rejection
		if _, err := cl.Apply(ctx, op); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
	body, err := cl.Get(ctx, "/v1/registry")
	if err != nil {
		t.Fatal(err)
	}
	r := decode[struct {
		Agents []struct {
			ID    string
			Phase fsm.Phase
		}
		Frameworks []struct{ ID string }
		Quotas     []struct{ Role string }
		Weights    []struct{ Role string }
		Machines   []struct {
			ID   fsm.MachineID
			Mode string
		}
		Providers []struct{ ID string }
	}](t, body)
	for _, a := range r.Agents {
		switch a.Phase {
		case fsm.Admitted:
			apply(fsm.RemoveAgent{ID: a.ID})
		case fsm.Unreachable:
			apply(fsm.PruneAgents{Unreachable: []string{a.ID}})
		case fsm.Gone:
			apply(fsm.PruneAgents{Gone: []string{a.ID}})
		}
	}
	for _, f := range r.Frameworks {
		apply(fsm.CompleteFramework{ID: f.ID})
		apply(fsm.PruneFrameworks{IDs: []string{f.ID}})
	}
	for _, q := range r.Quotas {
		apply(fsm.UpdateQuota{Quotas: []fsm.Quota{{Role: q.Role}}})
	}
	for _, w := range r.Weights {
		apply(fsm.UpdateWeights{Weights: []fsm.Weight{{Role: w.Role}}})
	}
	for _, m := range r.Machines {
		apply(fsm.StartMaintenance{Machines: []fsm.MachineID{m.ID}}) // those that are down refuse
		apply(fsm.StopMaintenance{Machines: []fsm.MachineID{m.ID}})
	}
	apply(fsm.ScheduleMaintenance{})
	for _, p := range r.Providers {
		apply(fsm.RemoveProvider{ID: p.ID})
	}
	for a, err := range cl.Agents(ctx, client.AgentQuery{Consistency: registrar.Linearizable}) {
		t.Fatalf("%+v is left, %v", a, err)
	}
}
