package history

import (
	"slices"
)

// Change is one line of the log as watchers see it.
type Change struct {
	Index uint64
	Kind  string
	ID    string // the agent's, where the kind is about agents
	Phase string // after it
	Was   string // before it
	Last  bool   // of its index
}

// registrations are the kinds that a registration makes, by what it answers.
var registrations = map[string]string{"admitted": "agent.admit", "returned": "agent.reachable", "updated": "agent.update"}

// Ledger holds what clients were told against the whole log. Each acknowledged change must be there, at an index
// above what was known when it was asked for and not above the one answered: otherwise it was lost. And each
// change in the log must be one that a client was told, or may still believe in: otherwise it is one that was
// answered with "no", or was applied a second time. Agents that register themselves are changed by others too:
// only the first half holds for them.
func Ledger(calls []Call, log []Change) (violations []Violation) {
	known := newAnswered(calls)
	claims := map[line][]*claim{}
	asked := map[string]bool{}
	for i := range calls {
		asked[calls[i].Agent] = calls[i].Agent != ""
	}
	for _, c := range merged(calls) {
		kind, changed := c.Kind, c.Outcome == Changed
		if c.Kind == Register {
			kind, changed = registrations[c.Outcome], registrations[c.Outcome] != ""
		}
		if !asked[c.Agent] || c.Kind == Read || c.Answer == Yes && !changed {
			continue
		}
		own := &claim{call: c, low: known.before(c.Began), high: Never}
		if c.Answer == Yes {
			own.high = c.Index
		}
		claims[line{c.Agent, kind}] = append(claims[line{c.Agent, kind}], own)
	}
	happened := map[line][]uint64{}
	for _, c := range log {
		if asked[c.ID] {
			happened[line{c.ID, c.Kind}] = append(happened[line{c.ID, c.Kind}], c.Index)
		}
	}
	foreign := foreign(calls)
	for at, indexes := range happened {
		for _, index := range match(claims[at], indexes) {
			if !foreign[at.agent] {
				violations = append(violations, violation("truth",
					"%s of %s at index %d: nobody was told that it happened, so it was a \"no\", or is there twice", at.kind, at.agent, index))
			}
		}
	}
	for at, own := range claims {
		for _, c := range own {
			if c.call.Answer == Yes && !c.met {
				violations = append(violations, violation("durability", "acknowledged, and the log has it at %v only:\n%s", happened[at], describe(c.call)))
			}
		}
	}
	return violations
}

type line struct{ agent, kind string }

// claim is a change that a client was told of, or may believe in: at an index above low and up to high.
type claim struct {
	call      *Call
	low, high uint64
	met       bool
}

// match gives each index to the claim that ends first of those that it can meet, and returns the indexes that
// meet none.
func match(claims []*claim, indexes []uint64) (left []uint64) {
	for _, index := range slices.Sorted(slices.Values(indexes)) {
		var best *claim
		for _, c := range claims {
			if !c.met && c.low < index && index <= c.high && (best == nil || c.high < best.high) {
				best = c
			}
		}
		if best == nil {
			left = append(left, index)
			continue
		}
		best.met = true
	}
	return left
}

// Repeats checks that a request id is always answered alike.
func Repeats(calls []Call) (violations []Violation) {
	first := map[string]*Call{}
	for i := range calls {
		c := &calls[i]
		if c.RequestID == "" || c.Answer != Yes || c.Outcome == "request_expired" {
			continue
		}
		before, known := first[c.RequestID]
		if !known {
			first[c.RequestID] = c
		} else if before.Outcome != c.Outcome {
			violations = append(violations, violation("request ids", "one request id was answered in two ways:\n%s", describe(before, c)))
		}
	}
	return violations
}
