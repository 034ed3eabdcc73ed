package httpapi

import (
	"fmt"
	"net/http"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func (a *API) postOperations(w http.ResponseWriter, r *http.Request) error {
	var request wire.Operations
	if err := body(r, &request); err != nil {
		return err
	}
	switch n := len(request.Operations); {
	case n == 0:
		return badRequest("operations is missing or empty")
	case n > maxOperations:
		return tooLarge("%d operations are over the limit of %d", n, maxOperations)
	}
	by := a.author(r)
	proposals := make([]fsm.Proposal, len(request.Operations))
	for i, o := range request.Operations {
		where := fmt.Sprintf("operations[%d]", i)
		if len(o.Args) > fsm.MaxOp {
			return tooLarge("%s: %d bytes are over the limit of %d", where, len(o.Args), fsm.MaxOp)
		}
		op, err := operation(where, o.Kind, o.Args)
		if err != nil {
			return err
		}
		proposals[i] = fsm.Proposal{Op: op, RequestID: o.RequestID, Seen: request.Seen, Epoch: request.Epoch, By: by}
		if err := proposals[i].Check(); err != nil {
			return badRequest("%s: %s", where, err)
		}
	}
	result, err := a.Registrar.Propose(r.Context(), proposals)
	if err != nil {
		return err
	}
	answers := wire.Results{Index: result.Index, Results: make([]wire.Outcome, len(result.Outcomes))}
	for i, outcome := range result.Outcomes {
		answers.Results[i] = describe(outcome)
	}
	return answer(w, answers)
}

func describe(o fsm.Outcome) wire.Outcome {
	switch {
	case o.Rejection != nil:
		return wire.Outcome{Outcome: "rejected", Code: o.Rejection.Code, Message: o.Rejection.Reason}
	case o.Changed:
		return wire.Outcome{Outcome: "changed"}
	default:
		return wire.Outcome{Outcome: "unchanged"}
	}
}
