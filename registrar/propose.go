package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// What Propose may answer besides what the log does. All of them say "no": it did not happen and never will.
var (
	// ErrBusy: too much waits already; try again later.
	ErrBusy = errors.New("too many operations are waiting")
	// ErrInvalid: an operation is wrong whatever the State. Nothing of the request was proposed.
	ErrInvalid = errors.New("invalid operation")
	// ErrWithdrawn: the caller gave up before its request was proposed. It wraps the context's error.
	ErrWithdrawn = errors.New("withdrawn before it was proposed")
)

// Apply has one operation made durable and applied. A refusal is the error, a *fsm.Rejection; everything else is
// as for Propose.
func (r *Registrar) Apply(ctx context.Context, op fsm.Op) (fsm.Outcome, error) {
	result, err := r.Propose(ctx, []fsm.Proposal{{Op: op}})
	if err != nil {
		return fsm.Outcome{}, err
	}
	outcome := result.Outcomes[0]
	if outcome.Rejection != nil {
		return outcome, outcome.Rejection
	}
	return outcome, nil
}

// Propose has the operations made durable on a majority, together or not at all, and applied in order; each has
// its own outcome. An error answers for all of them: one that wraps log.ErrUncertain means that they perhaps
// happened, every other that they did not and never will. ctx bounds the waiting. ps may be empty, which makes
// an entry all the same.
func (r *Registrar) Propose(ctx context.Context, ps []fsm.Proposal) (fsm.Result, error) {
	batch, err := fsm.Encode(ps...)
	if err != nil {
		return fsm.Result{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := ctx.Err(); err != nil {
		return fsm.Result{}, fmt.Errorf("%w: %w", ErrWithdrawn, err)
	}
	waiting := &request{batch: batch, done: make(chan struct{})}
	if err := r.queue.add(waiting); err != nil {
		return fsm.Result{}, err
	}
	if planted.AckEarly {
		return fsm.Result{Index: r.State().Index() + 1, Outcomes: slices.Repeat([]fsm.Outcome{{Changed: true}}, len(ps))}, nil
	}
	select {
	case <-waiting.done:
	case <-ctx.Done():
		if waiting.withdraw() {
			r.queue.forget(waiting)
			return fsm.Result{}, fmt.Errorf("%w: %w", ErrWithdrawn, ctx.Err())
		}
		select {
		case <-waiting.done: // it was answered in the same moment
		default:
			return fsm.Result{}, fmt.Errorf("%w: %w", log.ErrUncertain, ctx.Err())
		}
	}
	return waiting.result, waiting.err
}
