package history

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// linearBudget bounds what is spent on one agent. An agent that takes longer is reported, for a checker that
// gave up has shown nothing.
const linearBudget = time.Minute

// Linearizable checks, agent by agent, that all answers could have been given one after the other, each at a
// moment between question and answer. Agents that register themselves are left out: others change them too.
func Linearizable(calls []Call) (violations []Violation) {
	model := porcupine.Model{
		Init: func() any { return Agent{} },
		Step: func(state, input, _ any) (bool, any) { return state.(Agent).explains(input.(*Call)) },
	}
	foreign := foreign(calls)
	agents := map[string][]*Call{}
	for _, c := range merged(calls) {
		if c.Agent != "" && c.Session == "" && !foreign[c.Agent] {
			agents[c.Agent] = append(agents[c.Agent], c)
		}
	}
	for name, own := range agents {
		operations := make([]porcupine.Operation, len(own))
		for i, c := range own {
			operations[i] = porcupine.Operation{Input: c, Call: int64(c.Began), Return: int64(min(c.Ended, math.MaxInt64))}
		}
		switch porcupine.CheckOperationsTimeout(model, operations, linearBudget) {
		case porcupine.Illegal:
			violations = append(violations, violation("linearizability", "no order explains what was answered about agent %s:\n%s", name, describe(own...)))
		case porcupine.Unknown:
			violations = append(violations, violation("linearizability", "agent %s: undecided after %s, %d calls", name, linearBudget, len(own)))
		}
	}
	return violations
}

// foreign are the agents that register themselves.
func foreign(calls []Call) map[string]bool {
	agents := map[string]bool{}
	for i := range calls {
		if calls[i].Kind == Register {
			agents[calls[i].Agent] = true
		}
	}
	return agents
}

// merged makes one call of all that carried the same request id, for together they happen once: between the
// first question and the first answer. What was answered with "no" did not happen, and a read without an answer
// says nothing.
func merged(calls []Call) (all []*Call) {
	first := map[string]*Call{}
	for i := range calls {
		c := calls[i]
		if c.Answer == No || c.Kind == Read && c.Answer == Perhaps {
			continue
		}
		whole, repeated := first[c.RequestID]
		if c.RequestID == "" || !repeated {
			all = append(all, &c)
			if c.RequestID != "" {
				first[c.RequestID] = &c
			}
			continue
		}
		if c.Answer == Yes && (whole.Answer == Perhaps || c.Ended < whole.Ended) {
			whole.Answer, whole.Outcome, whole.Index, whole.Ended = Yes, c.Outcome, c.Index, c.Ended
		}
	}
	return all
}
