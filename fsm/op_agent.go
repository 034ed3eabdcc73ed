package fsm

import "cmp"

// AdmitAgent enters an agent that the registry does not know. As Mesos's AdmitSlave, but an unreachable or
// gone agent is refused too.
type AdmitAgent struct {
	Agent AgentObject `json:"agent"`
}

// Kind is agent.admit.
func (AdmitAgent) Kind() Kind                { return "agent.admit" }
func (op *AdmitAgent) fields(to []any) []any { return op.Agent.fields(to) }
func (op AdmitAgent) check() error           { return op.Agent.check() }

func (op AdmitAgent) apply(tx *Txn) (bool, error) {
	if agent, ok := tx.Agent(op.Agent.ID); ok {
		return false, tx.metAgent(agent)
	}
	return tx.moveAgent(Agent{ID: op.Agent.ID, Info: op.Agent.Info}, Admitted, 0, ""), nil
}

// UpdateAgent replaces the info of an admitted agent; an equal one changes nothing. Mesos: UpdateSlave.
type UpdateAgent struct {
	Agent AgentObject `json:"agent"`
}

// Kind is agent.update.
func (UpdateAgent) Kind() Kind                { return "agent.update" }
func (op *UpdateAgent) fields(to []any) []any { return op.Agent.fields(to) }
func (op UpdateAgent) check() error           { return op.Agent.check() }

func (op UpdateAgent) apply(tx *Txn) (bool, error) {
	agent, err := tx.admitted(op.Agent.ID)
	if err != nil {
		return false, err
	}
	changed := *agent
	changed.Info = op.Agent.Info
	return tx.putAgent(changed), nil
}

// ReachAgent returns an unreachable agent with its drain as it was, admits an unknown one, and leaves an
// admitted one alone, its info included. Mesos: MarkSlaveReachable, but a gone agent is refused.
type ReachAgent struct {
	Agent AgentObject `json:"agent"`
	Time  Time        `json:"time,omitzero"` // since when; the frame's time where not given
}

// Kind is agent.reachable.
func (ReachAgent) Kind() Kind                { return "agent.reachable" }
func (op *ReachAgent) fields(to []any) []any { return append(op.Agent.fields(to), &op.Time) }
func (op ReachAgent) check() error           { return op.Agent.check() }

func (op ReachAgent) apply(tx *Txn) (bool, error) {
	agent, ok := tx.Agent(op.Agent.ID)
	switch {
	case !ok:
		return tx.moveAgent(Agent{ID: op.Agent.ID, Info: op.Agent.Info}, Admitted, op.Time, ""), nil
	case agent.Phase == Admitted:
		return false, nil
	case agent.Phase == Gone:
		return false, tx.metAgent(agent)
	}
	returned := *agent
	returned.Info = op.Agent.Info
	return tx.moveAgent(returned, Admitted, op.Time, ""), nil
}

// MarkUnreachable says that an admitted agent fell silent. It keeps its info and its drain.
// Mesos: MarkSlaveUnreachable.
type MarkUnreachable struct {
	ID     string `json:"id"`
	Time   Time   `json:"time,omitzero"` // since when; the frame's time where not given
	Reason string `json:"reason,omitempty"`
}

// Kind is agent.unreachable.
func (MarkUnreachable) Kind() Kind                { return "agent.unreachable" }
func (op *MarkUnreachable) fields(to []any) []any { return append(to, &op.ID, &op.Time, &op.Reason) }

func (op MarkUnreachable) check() error {
	return cmp.Or(checkID("id", op.ID), checkText("reason", op.Reason, MaxText))
}

func (op MarkUnreachable) apply(tx *Txn) (bool, error) {
	agent, err := tx.admitted(op.ID)
	if err != nil {
		return false, err
	}
	return tx.moveAgent(*agent, Unreachable, op.Time, op.Reason), nil
}

// MarkGone says that an agent will never come back, whatever it says itself. Its drain is dropped; its info is
// kept. Mesos: MarkSlaveGone.
type MarkGone struct {
	ID     string `json:"id"`
	Time   Time   `json:"time,omitzero"` // since when; the frame's time where not given
	Reason string `json:"reason,omitempty"`
}

// Kind is agent.gone.
func (MarkGone) Kind() Kind                { return "agent.gone" }
func (op *MarkGone) fields(to []any) []any { return append(to, &op.ID, &op.Time, &op.Reason) }

func (op MarkGone) check() error {
	return cmp.Or(checkID("id", op.ID), checkText("reason", op.Reason, MaxText))
}

func (op MarkGone) apply(tx *Txn) (bool, error) {
	agent, ok := tx.Agent(op.ID)
	switch {
	case !ok:
		return false, tx.reject(UnknownAgent, "agent %s is unknown", op.ID)
	case agent.Phase == Gone:
		return false, tx.reject(AlreadyGone, "agent %s is already gone", op.ID)
	}
	gone := *agent
	gone.Drain, gone.Deactivated = nil, false
	return tx.moveAgent(gone, Gone, op.Time, op.Reason), nil
}

// RemoveAgent forgets an admitted agent, which said goodbye or was replaced. Mesos: RemoveSlave.
type RemoveAgent struct {
	ID string `json:"id"`
}

// Kind is agent.remove.
func (RemoveAgent) Kind() Kind                { return "agent.remove" }
func (op *RemoveAgent) fields(to []any) []any { return append(to, &op.ID) }
func (op RemoveAgent) check() error           { return checkID("id", op.ID) }

func (op RemoveAgent) apply(tx *Txn) (bool, error) {
	agent, err := tx.admitted(op.ID)
	if err != nil {
		return false, err
	}
	tx.dropAgent(agent)
	return true, nil
}

// PruneAgents forgets unreachable and gone agents; ids that are not in the phase named are passed over.
// Mesos: Prune, without its deletion of neighbours.
type PruneAgents struct {
	Unreachable []string `json:"unreachable,omitempty"`
	Gone        []string `json:"gone,omitempty"`
}

// Kind is agent.prune.
func (PruneAgents) Kind() Kind                { return "agent.prune" }
func (op *PruneAgents) fields(to []any) []any { return append(to, &op.Unreachable, &op.Gone) }

func (op PruneAgents) check() error {
	return cmp.Or(checkIDs("unreachable", op.Unreachable), checkIDs("gone", op.Gone))
}

func (op PruneAgents) apply(tx *Txn) (changed bool, err error) {
	prune := func(p Phase, ids []string) {
		for _, id := range ids {
			if agent, ok := tx.s.agents(p).get(id); ok {
				tx.dropAgent(agent)
				changed = true
			}
		}
	}
	prune(Unreachable, op.Unreachable)
	prune(Gone, op.Gone)
	return changed, nil
}

// admitted finds an agent that must be admitted.
func (tx *Txn) admitted(id string) (*Agent, error) {
	agent, ok := tx.Agent(id)
	if !ok {
		return nil, tx.reject(UnknownAgent, "agent %s is unknown", id)
	}
	if agent.Phase != Admitted {
		return nil, tx.metAgent(agent)
	}
	return agent, nil
}

// metAgent refuses because of the phase in which an agent was met.
func (tx *Txn) metAgent(agent *Agent) error {
	switch agent.Phase {
	case Unreachable:
		return tx.reject(AgentUnreachable, "agent %s is unreachable", agent.ID)
	case Gone:
		return tx.reject(AgentGone, "agent %s is gone", agent.ID)
	default:
		return tx.reject(AlreadyAdmitted, "agent %s is already admitted", agent.ID)
	}
}
