package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Apply has one operation made durable and applied. A refusal is the error, a *fsm.Rejection.
func (c *Client) Apply(ctx context.Context, op fsm.Op) (fsm.Outcome, error) {
	result, err := c.Propose(ctx, []fsm.Proposal{{Op: op}})
	if err != nil {
		return fsm.Outcome{}, err
	}
	if outcome := result.Outcomes[0]; outcome.Rejection != nil {
		return outcome, outcome.Rejection
	}
	return result.Outcomes[0], nil
}

// Propose has the operations made durable, together, and applied in order. Operations without a request id get
// one. All must carry the same epoch and seen; By is the server's business and ignored. The error is
// log.ErrUncertain when ctx ended before anybody could tell; with the same request ids the same operations may
// be proposed again.
func (c *Client) Propose(ctx context.Context, ps []fsm.Proposal) (fsm.Result, error) {
	request := wire.Operations{Operations: make([]wire.Operation, len(ps))}
	for i, p := range ps {
		args, err := json.Marshal(p.Op)
		if err != nil {
			return fsm.Result{}, fmt.Errorf("%w: operation %d: %w", registrar.ErrInvalid, i, err)
		}
		if p.Epoch != ps[0].Epoch || p.Seen != ps[0].Seen {
			return fsm.Result{}, fmt.Errorf("%w: operation %d carries another epoch or seen than the first", registrar.ErrInvalid, i)
		}
		request.Operations[i] = wire.Operation{Kind: p.Op.Kind(), Args: args, RequestID: p.RequestID}
		request.Epoch, request.Seen = p.Epoch, p.Seen
	}
	results, err := c.Operations(ctx, request)
	if err != nil {
		return fsm.Result{}, err
	}
	result := fsm.Result{Index: results.Index, Outcomes: make([]fsm.Outcome, len(ps))}
	for i, outcome := range results.Results {
		result.Outcomes[i].Changed = outcome.Outcome == "changed"
		if outcome.Outcome == "rejected" {
			result.Outcomes[i].Rejection = &fsm.Rejection{Kind: ps[i].Op.Kind(), Code: outcome.Code, Reason: outcome.Message}
		}
	}
	return result, nil
}

// Operations is Propose for operations in JSON. Those without a request id get one, in place.
func (c *Client) Operations(ctx context.Context, request wire.Operations) (wire.Results, error) {
	for i := range request.Operations {
		if request.Operations[i].RequestID == "" {
			request.Operations[i].RequestID = rand.Text()
		}
	}
	if request.Seen == 0 {
		c.learn(ctx)
		request.Seen = c.Seen()
	}
	var results wire.Results
	if err := c.call(ctx, always, http.MethodPost, "/v1/operations", request, &results); err != nil {
		return wire.Results{}, err
	}
	if len(results.Results) != len(request.Operations) {
		return wire.Results{}, fmt.Errorf("%d results for %d operations", len(results.Results), len(request.Operations))
	}
	return results, nil
}
