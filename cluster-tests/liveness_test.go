package clustertests

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar/mastership"
	"github.com/registrard/registrard/transport/client"
)

// What liveness tests run with: a window of seconds, and a silence that even a loaded machine keeps below.
const (
	windowOfTest    = 6 * time.Second
	heartbeatOfTest = 500 * time.Millisecond
)

func livenessFlags() []string {
	return []string{"--liveness", "--agent-heartbeat", heartbeatOfTest.String(), "--agent-max-missed", "10",
		"--agent-reregister-timeout", windowOfTest.String()}
}

// The demo comes to its good end.
func TestMasterDemo(t *testing.T) {
	t.Parallel()
	demo := exec.Command(binary(t), "master-demo", "--heartbeat", "1s", "--window", "8s")
	said, err := demo.CombinedOutput()
	if err != nil || !regexp.MustCompile(`a3 is unreachable: not heard from`).Match(said) {
		t.Errorf("%v\n%s", err, said)
	}
}

// Agents that keep sending heartbeats are never marked, whatever becomes of the leader, and the one that does not is:
// the leader is killed, and then its successor is stopped for twice the window and goes on.
func TestLivingAgentsAreNeverMarked(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, livenessFlags()...)
	c.beat(t, 10)
	register(t, c, "silent")
	killed := c.leader()
	killed.kill(t)
	c.awaitUnreachable(t, "silent")
	killed.restart(t)

	register(t, c, "silent")
	paused := c.leader()
	paused.signal(syscall.SIGSTOP)
	stopped := time.Now()
	c.awaitUnreachable(t, "silent") // by the next leader, after a window of its own
	if rest := 2*windowOfTest - time.Since(stopped); rest > 0 {
		<-time.After(rest)
	}
	paused.signal(syscall.SIGCONT)
	register(t, c, "late") // registers with whoever leads by now, and never again
	c.awaitUnreachable(t, "late")
	c.marked(t, "silent", "late")
}

// A master that was stopped while another one claimed goes on as if nothing had happened, and changes nothing any more:
// not by this leader and not by the next.
func TestDepositionOfAPausedMaster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl, err := client.New(client.Config{Addresses: c.addresses()})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	register(t, c, "a1")
	old := claim(ctx, t, cl, "m1").Epoch
	admit := func(epoch uint64, id string) *fsm.Rejection {
		t.Helper()
		result, err := cl.Propose(ctx, []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agentObject(t, id)}, Epoch: epoch}})
		if err != nil {
			t.Fatal(err)
		}
		return result.Outcomes[0].Rejection
	}
	if refused := admit(old, "b1"); refused != nil {
		t.Fatal(refused)
	}
	current := claim(ctx, t, cl, "m2").Epoch // m1 does not renew: it is stopped
	for round := range 2 {
		if refused := admit(old, fmt.Sprint("stale-", round)); refused == nil || refused.Code != fsm.Superseded {
			t.Errorf("an operation of the old epoch: %v", refused)
		}
		if refused := admit(current, fmt.Sprint("new-", round)); refused != nil {
			t.Errorf("an operation of the new epoch: %v", refused)
		}
		if err := cl.Renew(ctx, old); err == nil || !strings.Contains(err.Error(), "superseded") {
			t.Errorf("the old epoch was renewed: %v", err)
		}
		if round == 0 {
			leader := c.leader()
			leader.kill(t)
			leader.restart(t)
		}
	}
	c.agree()
	for id := range c.leader().agents(t) {
		if strings.HasPrefix(id, "stale") {
			t.Errorf("%s was admitted", id)
		}
	}
}

// beat registers agents and sends their heartbeats until the test ends. They are shared out
// among the nodes: each agent asks its own node, every time, and the others only when that one has no answer.
func (c *Cluster) beat(t *testing.T, each int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var beating sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		beating.Wait()
	})
	anybody := c.client()
	for _, node := range c.Nodes {
		own, err := client.New(client.Config{Addresses: []string{node.HTTP}, AskOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(own.Close)
		var ids []string
		for i := range each {
			ids = append(ids, fmt.Sprintf("living-%s-%d", node.ID, i))
			register(t, c, ids[i])
		}
		beating.Go(func() {
			for tick := time.NewTicker(heartbeatOfTest); ; {
				attempt, done := context.WithTimeout(ctx, heartbeatOfTest)
				heard, err := own.Heartbeats(attempt, ids)
				done()
				if err != nil {
					heard, err = anybody.Heartbeats(ctx, ids)
				}
				if err == nil && len(heard.Unknown)+len(heard.Unreachable)+len(heard.Gone) > 0 {
					t.Errorf("living agents of %s are told: %+v", node.ID, heard)
					return
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// marked holds against what every node has seen, up to now, that no agent but those given was marked.
func (c *Cluster) marked(t *testing.T, only ...string) {
	t.Helper()
	for node, changes := range c.history(t) {
		for _, change := range changes {
			if change.Kind == "agent.unreachable" && !slices.Contains(only, change.ID) {
				t.Errorf("%s: %s was marked at index %d: %s", node.ID, change.ID, change.Index, change.Reason)
			}
		}
	}
}

// claim claims mastership as soon as it is to be had.
func claim(ctx context.Context, t *testing.T, cl *client.Client, id string) mastership.Grant {
	t.Helper()
	for {
		grant, err := cl.Claim(ctx, []byte(`{"id":"`+id+`"}`), fsm.Duration(time.Second))
		if err == nil {
			return grant
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond) // until the lease of the other runs out
	}
}

func agentObject(t *testing.T, id string) fsm.AgentObject {
	t.Helper()
	object, err := fsm.AgentInfo{ID: id, Hostname: "host-" + id}.Object()
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// register registers one agent, with whoever leads.
func register(t *testing.T, c *Cluster, id string) {
	t.Helper()
	cl, err := client.New(client.Config{Addresses: c.addresses(), Attempt: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if answer, err := cl.Register(ctx, agentObject(t, id)); err != nil || answer.Action == "refused" {
		t.Fatalf("register %s: %+v, %v", id, answer, err)
	}
}

// awaitUnreachable waits until an agent is unreachable, on whatever node answers.
func (c *Cluster) awaitUnreachable(t *testing.T, id string) {
	t.Helper()
	await(t, id+" is unreachable", func() error {
		for _, node := range c.Nodes {
			body, err := node.get("/v1/agents/" + id + "?consistency=stale")
			if err == nil && decode[struct{ Agent struct{ Phase string } }](t, body).Agent.Phase == "unreachable" {
				return nil
			}
		}
		return errors.New("not yet")
	})
}
