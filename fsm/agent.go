package fsm

import (
	"fmt"
	"strings"
)

// Agent is what the registry knows of one agent. Records that a State gives out are shared: never modify one.
type Agent struct {
	ID          string `json:"id"`
	Phase       Phase  `json:"phase"`
	Info        Info   `json:"info"` // as last admitted or updated; kept in every phase
	Drain       *Drain `json:"drain,omitempty"`
	Deactivated bool   `json:"deactivated"` // gets no work; always so while there is a Drain
	Since       Time   `json:"since"`       // when the phase changed, as the operation says or the log knows
	Reason      string `json:"reason,omitempty"`
	By          string `json:"by,omitempty"` // who asked for the change of phase
	Mark
}

func (a *Agent) key() string { return a.ID }

func (a *Agent) fields(to []any) []any {
	return append(to, &a.ID, &a.Phase, &a.Info, &a.Drain, &a.Deactivated, &a.Since, &a.Reason, &a.By)
}

// Phase is where an agent is in its life; doc.go has the diagram. An agent that was removed or pruned, or
// never was, has none.
type Phase uint8

// The phases. The zero value is no phase.
const (
	Admitted    Phase = 1 + iota // should be there
	Unreachable                  // fell silent; may come back
	Gone                         // will never come back, an operator said; refused for good
)

var phases = [...]string{"", "admitted", "unreachable", "gone"}

func (p Phase) String() string { return phases[p] }

// MarshalText writes the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(phases[p]), nil }

// UnmarshalText reads the phase's name.
func (p *Phase) UnmarshalText(text []byte) error {
	for i, name := range phases[1:] {
		if name == string(text) {
			*p = Phase(i + 1)
			return nil
		}
	}
	return fmt.Errorf("%q is not a phase: %s", text, strings.Join(phases[1:], ", "))
}

// Drain is the request that an agent finish its work and take no more.
type Drain struct {
	State          DrainState `json:"state"`
	MaxGracePeriod *Duration  `json:"max_grace_period,omitempty"` // bounds how long its tasks may take to stop; nil: their own
	MarkGone       bool       `json:"mark_gone"`                  // whoever sees it drained marks it gone
}

func (d *Drain) fields(to []any) []any { return append(to, &d.State, &d.MaxGracePeriod, &d.MarkGone) }

// DrainState tells how far a drain has come.
type DrainState uint8

// The drain states.
const (
	Draining DrainState = 1 + iota
	Drained
)

var drainStates = [...]string{"", "draining", "drained"}

func (d DrainState) String() string { return drainStates[d] }

// MarshalText writes the state's name.
func (d DrainState) MarshalText() ([]byte, error) { return []byte(drainStates[d]), nil }

// UnmarshalText reads the state's name.
func (d *DrainState) UnmarshalText(text []byte) error {
	for i, name := range drainStates[1:] {
		if name == string(text) {
			*d = DrainState(i + 1)
			return nil
		}
	}
	return fmt.Errorf("%q is not a drain state: %s", text, strings.Join(drainStates[1:], ", "))
}

// agents gives the table of a phase.
func (s *State) agents(p Phase) *table[*Agent] { return &s.phases[p-Admitted] }

// Agent finds one whatever its phase.
func (tx *Txn) Agent(id string) (*Agent, bool) { return tx.s.Agent(id) }

// living finds an agent that is admitted or unreachable.
func (tx *Txn) living(id string) (*Agent, bool) {
	agent, ok := tx.Agent(id)
	return agent, ok && agent.Phase != Gone
}

// putAgent writes a changed agent in its phase, and tells whether it differs from what was there.
func (tx *Txn) putAgent(agent Agent) bool {
	return tx.writeAgent(agent, agent.Phase, false)
}

// moveAgent writes an agent in another phase, since a time that is the frame's where none is given.
func (tx *Txn) moveAgent(agent Agent, to Phase, since Time, reason string) bool {
	was := agent.Phase
	if since == 0 {
		since = tx.now
	}
	agent.Phase, agent.Since, agent.Reason, agent.By = to, since, reason, tx.by
	return tx.writeAgent(agent, was, true)
}

func (tx *Txn) writeAgent(agent Agent, was Phase, moved bool) bool {
	table := tx.s.agents(agent.Phase)
	if !moved {
		if !put(tx, table, &agent, false) {
			return false
		}
	} else {
		if was != 0 {
			drop(tx, tx.s.agents(was), agent.ID)
		}
		place(tx, table, &agent, nil) // an agent is in one phase at most
	}
	change := Change{ID: agent.ID, Phase: agent.Phase.String(), Was: was.String()}
	if moved {
		change.Reason = agent.Reason
	}
	tx.changed(change)
	return true
}

// dropAgent takes an agent out of the registry.
func (tx *Txn) dropAgent(agent *Agent) {
	drop(tx, tx.s.agents(agent.Phase), agent.ID)
	tx.changed(Change{ID: agent.ID, Was: agent.Phase.String()})
}
