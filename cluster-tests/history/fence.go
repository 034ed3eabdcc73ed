package history

import "slices"

// Fenced checks that nothing was applied under an epoch but the current one, that nothing was refused under the
// current one, and that no epoch was granted twice. Epoch n begins with the n-th claim in the log and ends with
// the next, or with its resignation.
func Fenced(calls []Call, log []Change) (violations []Violation) {
	complain := func(c *Call, format string, args ...any) {
		violations = append(violations, violation("fencing", format+":\n%s", append(args, describe(c))...))
	}
	type span struct{ from, to uint64 } // indexes; both may hold operations from within and from without
	epochs := []span{{}}
	happened := map[line][]uint64{}
	for _, c := range log {
		last := &epochs[len(epochs)-1]
		switch c.Kind {
		case "master.claim":
			last.to = min(last.to, c.Index)
			epochs = append(epochs, span{c.Index, Never})
		case "master.resign":
			last.to = min(last.to, c.Index)
		default:
			happened[line{c.ID, c.Kind}] = append(happened[line{c.ID, c.Kind}], c.Index)
		}
	}
	granted := map[uint64]*Call{}
	for _, c := range merged(calls) {
		if c.Epoch == 0 || c.Answer != Yes {
			continue
		}
		if c.Epoch >= uint64(len(epochs)) {
			complain(c, "the log has only %d epochs", len(epochs)-1)
			continue
		}
		epoch := epochs[c.Epoch]
		// What was told of one change may be an answer to a repeat, from a later index than the change.
		within := func(index uint64) bool { return epoch.from <= index && index <= epoch.to && index <= c.Index }
		switch {
		case c.Kind == Claim:
			if before := granted[c.Epoch]; before != nil {
				complain(c, "epoch %d was granted to client %d too", c.Epoch, before.Client)
			}
			granted[c.Epoch] = c
		case c.Outcome == "superseded":
			if epoch.from < c.Index && c.Index < epoch.to {
				complain(c, "refused, and epoch %d was the current one from index %d to %d", c.Epoch, epoch.from, epoch.to)
			}
		case c.Index < epoch.from:
			complain(c, "epoch %d began later, at index %d", c.Epoch, epoch.from)
		case c.Outcome == Changed && !slices.ContainsFunc(happened[line{c.Agent, c.Kind}], within):
			complain(c, "epoch %d was the current one from index %d to %d only", c.Epoch, epoch.from, epoch.to)
		}
	}
	return violations
}
