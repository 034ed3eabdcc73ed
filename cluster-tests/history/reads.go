package history

import "sort"

// Reads checks that every read found its agent in the phase that the log says it was in at the index that the
// read answered: whether stale or not, an answer is never wrong.
func Reads(calls []Call, log []Change) (violations []Violation) {
	of := map[string][]Change{}
	for _, c := range log {
		of[c.ID] = append(of[c.ID], c)
	}
	for i := range calls {
		c := &calls[i]
		if c.Kind != Read || c.Answer != Yes || c.Index == 0 {
			continue
		}
		changes := of[c.Agent]
		n := sort.Search(len(changes), func(i int) bool { return changes[i].Index > c.Index })
		phase := ""
		if n > 0 {
			phase = changes[n-1].Phase
		}
		if phase != c.Found.Phase {
			violations = append(violations, violation("reads", "by the log the agent was %q at index %d:\n%s", phase, c.Index, describe(c)))
		}
	}
	return violations
}
