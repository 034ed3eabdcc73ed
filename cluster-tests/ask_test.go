package clustertests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/cluster-tests/history"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/client"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// proposer has one operation applied: the client library, which asks until it knows or its time is up, or once.
type proposer func(context.Context, fsm.Proposal) (fsm.Result, error)

func patiently(cl *client.Client) proposer {
	return func(ctx context.Context, p fsm.Proposal) (fsm.Result, error) {
		return cl.Propose(ctx, []fsm.Proposal{p})
	}
}

// once asks one node, one time: whatever it says is the last word.
func once(node *Node) proposer {
	return func(ctx context.Context, p fsm.Proposal) (fsm.Result, error) {
		args, err := json.Marshal(p.Op)
		if err != nil {
			return fsm.Result{}, err
		}
		body, err := json.Marshal(wire.Operations{Operations: []wire.Operation{{Kind: p.Op.Kind(), Args: args, RequestID: p.RequestID}}, Epoch: p.Epoch})
		if err != nil {
			return fsm.Result{}, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+node.HTTP+"/v1/operations", bytes.NewReader(body))
		if err != nil {
			return fsm.Result{}, err
		}
		var results wire.Results
		if err := converse(request, &results); err != nil {
			return fsm.Result{}, err
		}
		outcome := fsm.Outcome{Changed: results.Results[0].Outcome == history.Changed}
		if code := results.Results[0].Code; code != "" {
			outcome.Rejection = &fsm.Rejection{Kind: p.Op.Kind(), Code: code}
		}
		return fsm.Result{Index: results.Index, Outcomes: []fsm.Outcome{outcome}}, nil
	}
}

// converse sends a request and reads the answer, or what it means that there is none.
func converse(request *http.Request, into any) error {
	response, err := httpClient.Do(request)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%w: %w", log.ErrNotLeader, err)
	case err != nil:
		return fmt.Errorf("%w: %w", log.ErrUncertain, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", log.ErrUncertain, err)
	}
	if response.StatusCode != http.StatusOK {
		var answered wire.Error
		if err := json.Unmarshal(text, &answered); err != nil {
			return fmt.Errorf("%s: %q: %w", response.Status, text, err)
		}
		return answered.Restore()
	}
	return json.Unmarshal(text, into)
}

// propose has one operation applied and writes down what came of it.
func (r *run) propose(ctx context.Context, by proposer, c history.Call) *history.Call {
	call := r.h.Begin(c)
	result, err := by(ctx, fsm.Proposal{Op: operation(c), RequestID: c.RequestID, Epoch: c.Epoch})
	r.h.End(call, func(c *history.Call) {
		if c.Answer = verdict(err); c.Answer != history.Yes {
			return
		}
		c.Index, c.Outcome = result.Index, history.Unchanged
		if outcome := result.Outcomes[0]; outcome.Rejection != nil {
			c.Outcome = string(outcome.Rejection.Code)
		} else if outcome.Changed {
			c.Outcome = history.Changed
		}
	})
	return call
}

// verdict is what an error tells.
func verdict(err error) history.Answer {
	switch {
	case err == nil:
		return history.Yes
	case errors.Is(err, log.ErrUncertain):
		return history.Perhaps
	default:
		return history.No
	}
}

// operation makes the operation that a call stands for. The value is the agent's hostname, and the terms of a
// drain are whether to mark it gone.
func operation(c history.Call) fsm.Op {
	object, err := fsm.AgentInfo{ID: c.Agent, Hostname: c.Value + ".example.org"}.Object()
	if err != nil {
		panic(err) // the names are ours
	}
	switch c.Kind {
	case "agent.admit":
		return fsm.AdmitAgent{Agent: object}
	case "agent.update":
		return fsm.UpdateAgent{Agent: object}
	case "agent.reachable":
		return fsm.ReachAgent{Agent: object}
	case "agent.unreachable":
		return fsm.MarkUnreachable{ID: c.Agent}
	case "agent.gone":
		return fsm.MarkGone{ID: c.Agent}
	case "agent.remove":
		return fsm.RemoveAgent{ID: c.Agent}
	case "agent.drain":
		return fsm.DrainAgent{ID: c.Agent, MarkGone: c.Terms != ""}
	case "agent.drained":
		return fsm.MarkDrained{ID: c.Agent}
	case "agent.deactivate":
		return fsm.DeactivateAgent{ID: c.Agent}
	case "agent.reactivate":
		return fsm.ReactivateAgent{ID: c.Agent}
	default:
		panic("no operation " + c.Kind)
	}
}

// read asks one node for one agent. A session's read is stale and comes from one life of the node.
func (r *run) read(ctx context.Context, node *Node, c history.Call) {
	life := node.life.Load()
	if c.Session != "" {
		c.Session = fmt.Sprintf("%s of life %d of %s", c.Session, life, node.ID)
	}
	consistency := map[bool]string{true: "stale", false: "linearizable"}[c.Session != ""]
	path := "/v1/agents/" + c.Agent + "?consistency=" + consistency
	// A 404 does not tell an index, so half of the reads are lists of one agent, which do.
	listed := r.coin(&c)
	if listed {
		last := len(c.Agent) - 1
		path = "/v1/agents?limit=1&consistency=" + consistency + "&after=" + c.Agent[:last] + string(c.Agent[last]-1) + "~"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.HTTP+path, nil)
	if err != nil {
		r.t.Error(err)
		return
	}
	call := r.h.Begin(c)
	var answer struct {
		Index  uint64       `json:"index"`
		Agent  *fsm.Agent   `json:"agent"`
		Agents []*fsm.Agent `json:"agents"`
	}
	err = converse(request, &answer)
	r.h.End(call, func(c *history.Call) {
		switch {
		case node.life.Load() != life && c.Session != "":
			return // nobody knows which life has answered
		case errors.Is(err, wire.ErrNotFound) && !listed:
			c.Answer, c.Outcome = history.Yes, history.NotFound
			return
		}
		if c.Answer = verdict(err); c.Answer != history.Yes {
			return
		}
		if listed && len(answer.Agents) > 0 && answer.Agents[0].ID == c.Agent {
			answer.Agent = answer.Agents[0]
		}
		c.Index, c.Outcome = answer.Index, history.NotFound
		if answer.Agent != nil {
			c.Outcome, c.Found = history.Found, seen(answer.Agent)
		}
	})
}

func (r *run) coin(c *history.Call) bool { return c.Client%2 == 0 }

// seen is an agent as a history has it.
func seen(a *fsm.Agent) history.Agent {
	var info struct {
		Hostname string `json:"hostname"`
	}
	_ = json.Unmarshal([]byte(a.Info), &info) // without one it is not the agent that was admitted
	found := history.Agent{Phase: a.Phase.String(), Value: strings.TrimSuffix(info.Hostname, ".example.org"), Deactivated: a.Deactivated}
	if a.Drain != nil {
		found.Drain = a.Drain.State.String()
		if a.Drain.MarkGone {
			found.Terms = "mark_gone"
		}
	}
	return found
}
