package fsm

import "errors"

// DrainAgent asks an agent to finish its work and take no more. An unreachable agent may be drained too: it
// learns of it when it comes back. Draining again replaces the terms, of a drained agent as well. Unknown and
// gone agents have nothing to drain. Mesos: DrainAgent, without the memory of earlier terms.
type DrainAgent struct {
	ID             string    `json:"id"`
	MaxGracePeriod *Duration `json:"max_grace_period,omitempty"` // not negative
	MarkGone       bool      `json:"mark_gone,omitzero"`
}

// Kind is agent.drain.
func (DrainAgent) Kind() Kind { return "agent.drain" }
func (op *DrainAgent) fields(to []any) []any {
	return append(to, &op.ID, &op.MaxGracePeriod, &op.MarkGone)
}

func (op DrainAgent) check() error {
	if op.MaxGracePeriod != nil && *op.MaxGracePeriod < 0 {
		return errors.New("max_grace_period is negative")
	}
	return checkID("id", op.ID)
}

func (op DrainAgent) apply(tx *Txn) (bool, error) {
	agent, ok := tx.living(op.ID)
	if !ok {
		return false, nil
	}
	changed := *agent
	changed.Drain = &Drain{State: Draining, MaxGracePeriod: op.MaxGracePeriod, MarkGone: op.MarkGone}
	changed.Deactivated = true
	return tx.putAgent(changed), nil
}

// MarkDrained says that a draining agent has finished its work. Mesos: MarkAgentDrained.
type MarkDrained struct {
	ID string `json:"id"`
}

// Kind is agent.drained.
func (MarkDrained) Kind() Kind                { return "agent.drained" }
func (op *MarkDrained) fields(to []any) []any { return append(to, &op.ID) }
func (op MarkDrained) check() error           { return checkID("id", op.ID) }

func (op MarkDrained) apply(tx *Txn) (bool, error) {
	agent, ok := tx.living(op.ID)
	if !ok {
		return false, nil
	}
	if agent.Drain == nil {
		return false, tx.reject(NotDraining, "agent %s is not draining", op.ID)
	}
	changed, drain := *agent, *agent.Drain
	drain.State = Drained
	changed.Drain = &drain
	return tx.putAgent(changed), nil
}

// DeactivateAgent takes work away from an agent without draining it. Mesos: DeactivateAgent.
type DeactivateAgent struct {
	ID string `json:"id"`
}

// Kind is agent.deactivate.
func (DeactivateAgent) Kind() Kind                { return "agent.deactivate" }
func (op *DeactivateAgent) fields(to []any) []any { return append(to, &op.ID) }
func (op DeactivateAgent) check() error           { return checkID("id", op.ID) }

func (op DeactivateAgent) apply(tx *Txn) (bool, error) {
	agent, ok := tx.living(op.ID)
	if !ok {
		return false, nil
	}
	changed := *agent
	changed.Deactivated = true
	return tx.putAgent(changed), nil
}

// ReactivateAgent ends a drain, in whatever state it is, and a deactivation. Mesos: ReactivateAgent.
type ReactivateAgent struct {
	ID string `json:"id"`
}

// Kind is agent.reactivate.
func (ReactivateAgent) Kind() Kind                { return "agent.reactivate" }
func (op *ReactivateAgent) fields(to []any) []any { return append(to, &op.ID) }
func (op ReactivateAgent) check() error           { return checkID("id", op.ID) }

func (op ReactivateAgent) apply(tx *Txn) (bool, error) {
	agent, ok := tx.living(op.ID)
	if !ok {
		return false, nil
	}
	changed := *agent
	changed.Drain, changed.Deactivated = nil, false
	return tx.putAgent(changed), nil
}
