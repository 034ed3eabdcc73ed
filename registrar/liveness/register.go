package liveness

import (
	"context"
	"fmt"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
)

// Action is what a registration came to.
type Action string

const (
	Admitted  Action = "admitted"  // it was not known, and is admitted now
	Returned  Action = "returned"  // it was unreachable, and is admitted again with its drain state
	Updated   Action = "updated"   // it was admitted, and its info is another now
	Unchanged Action = "unchanged" // it was admitted with the same info: nothing was written
	Refused   Action = "refused"   // nothing was written
)

// Codes of a refusal, beside those of the operations.
const (
	CodeAddressTaken fsm.Code = "address_taken" // a live agent has the same hostname and port: see Holder
	CodeMachineDown  fsm.Code = "machine_down"  // its machine is down for maintenance
)

// Registration answers an agent that registers.
type Registration struct {
	Action  Action   `json:"action"`
	Index   uint64   `json:"index"` // of a State in which the action holds
	Code    fsm.Code `json:"code,omitempty"`
	Message string   `json:"message,omitempty"`
	Holder  string   `json:"holder,omitempty"` // of the address, where that is why it was refused
}

// attemptsMax bounds how often a registration starts over because an operator changed the same agent.
const attemptsMax = 5

// Register runs one agent's registration, the first or a later one; by is who asks, for the record. Every
// action is durable when it is answered. An error is one of the Registrar's: log.ErrUncertain when the
// outcome is unknown, otherwise nothing was written. Registering again is always safe.
func (w *Watchman) Register(ctx context.Context, agent fsm.AgentObject, by string) (Registration, error) {
	at := addressIn(agent.Info)
	release, err := w.claim(ctx, at)
	if err != nil {
		return Registration{}, fmt.Errorf("register agent %s: %w", agent.ID, err)
	}
	defer release()
	for range attemptsMax {
		p, err := w.plan(ctx, agent, at)
		if err != nil {
			return Registration{}, fmt.Errorf("register agent %s: %w", agent.ID, err)
		}
		answer, done, err := w.carryOut(ctx, p, agent, by)
		if err != nil {
			return Registration{}, fmt.Errorf("register agent %s: %w", agent.ID, err)
		}
		if done {
			w.greet(agent.ID)
			return answer, nil
		}
	}
	return Registration{}, fmt.Errorf("register agent %s, which others keep changing: %w", agent.ID, registrar.ErrBusy)
}

// greet notes that an agent whose registration was answered is there; one that was refused may not be on the roll.
func (w *Watchman) greet(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watching() {
		_, now := w.look()
		w.roll.heard(id, now)
	}
}

// plan is what one look at the registry says should be done about an agent that registers.
type plan struct {
	reign  context.Context
	answer Registration // once ops are applied
	ops    []fsm.Op     // the last one decides
}

// plan notes that the agent is there, so that it is not marked while it registers. Where its removal, or that
// of the agent at its address, is already under way, it waits for the outcome.
func (w *Watchman) plan(ctx context.Context, agent fsm.AgentObject, at address) (plan, error) {
	for {
		p, settled, err := w.tryPlan(agent, at)
		if settled == nil {
			return p, err
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return plan{}, context.Cause(ctx)
		}
	}
}

func (w *Watchman) tryPlan(agent fsm.AgentObject, at address) (p plan, settled <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return plan{}, nil, log.ErrNotLeader
	}
	state, now := w.look()
	p = plan{reign: w.reign, answer: Registration{Index: state.Index()}}
	refuse := func(code fsm.Code, holder, format string, args ...any) {
		p.ops = nil
		p.answer.Action, p.answer.Code, p.answer.Holder = Refused, code, holder
		p.answer.Message = fmt.Sprintf(format, args...)
	}
	record, known := state.Agent(agent.ID)
	if known && record.Phase == fsm.Gone {
		refuse(fsm.AgentGone, "", "agent %s is gone for good", agent.ID)
		return p, nil, nil
	}
	if w.roll.down.has(at) {
		refuse(CodeMachineDown, "", "machine %s is down for maintenance", at.hostname)
		return p, nil, nil
	}
	if e, ok := w.roll.find(agent.ID); ok && !w.roll.heard(agent.ID, now) && e.standing == marking {
		return plan{}, w.settled, nil
	}
	if other, ok := w.roll.holder(at); ok && other.id != agent.ID {
		switch {
		case other.standing == marking:
			return plan{}, w.settled, nil
		case !w.roll.silent(other, now):
			refuse(CodeAddressTaken, other.id, "%s belongs to agent %s, which is still heard from", at, other.id)
			return p, nil, nil
		}
		p.ops = append(p.ops, fsm.RemoveAgent{ID: other.id})
	}
	switch {
	case !known:
		p.answer.Action = Admitted
		p.ops = append(p.ops, fsm.AdmitAgent{Agent: agent})
	case record.Phase == fsm.Unreachable:
		p.answer.Action = Returned
		p.ops = append(p.ops, fsm.ReachAgent{Agent: agent})
	case record.Info == agent.Info:
		p.answer.Action = Unchanged
	default:
		p.answer.Action = Updated
		p.ops = append(p.ops, fsm.UpdateAgent{Agent: agent})
	}
	return p, nil, nil
}

// carryOut does what was planned. It says false where the registry had moved on meanwhile and the plan is void.
func (w *Watchman) carryOut(ctx context.Context, p plan, agent fsm.AgentObject, by string) (Registration, bool, error) {
	switch {
	case p.answer.Action == Refused:
		return p.answer, true, nil
	case len(p.ops) == 0:
		return w.confirm(ctx, p, agent)
	}
	// What one reign planned is not for the next.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.reign, func() { cancel(context.Cause(p.reign)) })()
	proposals := make([]fsm.Proposal, len(p.ops))
	for i, op := range p.ops {
		proposals[i] = fsm.Proposal{Op: op, By: by}
	}
	result, err := w.registrar.Propose(ctx, proposals)
	if err != nil {
		return Registration{}, false, err
	}
	p.answer.Index = result.Index
	outcome := result.Outcomes[len(result.Outcomes)-1]
	if outcome.Rejection == nil {
		return p.answer, outcome.Changed, nil
	}
	refused := Registration{Action: Refused, Index: result.Index, Code: outcome.Rejection.Code, Message: outcome.Rejection.Reason}
	return refused, !overtaken(outcome.Rejection.Code), nil
}

// overtaken says whether an operation was rejected because somebody else changed the agent since the plan.
func overtaken(code fsm.Code) bool {
	switch code {
	case fsm.AlreadyAdmitted, fsm.AgentUnreachable, fsm.UnknownAgent:
		return true
	}
	return false
}

// confirm answers a registration that writes nothing: that this node still leads, and that the agent still is
// what the plan found, is known only after a linearizable read.
func (w *Watchman) confirm(ctx context.Context, p plan, agent fsm.AgentObject) (Registration, bool, error) {
	state, err := w.registrar.View(ctx, registrar.Linearizable)
	if err != nil {
		return Registration{}, false, err
	}
	record, ok := state.Agent(agent.ID)
	p.answer.Index = state.Index()
	return p.answer, ok && record.Phase == fsm.Admitted && record.Info == agent.Info, nil
}

// claim makes registrations from one address take turns, so that of two new agents there the second finds
// the first.
func (w *Watchman) claim(ctx context.Context, at address) (release func(), err error) {
	mine := make(chan struct{})
	for {
		w.mu.Lock()
		other, taken := w.claimed[at]
		if !taken {
			w.claimed[at] = mine
		}
		w.mu.Unlock()
		if !taken {
			return func() {
				w.mu.Lock()
				delete(w.claimed, at)
				w.mu.Unlock()
				close(mine)
			}, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
