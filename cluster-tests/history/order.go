package history

import (
	"cmp"
	"slices"
	"sort"
)

// answered is the highest index that had been answered to anybody at each moment of a history. Only answers that
// promise to be up to date count.
type answered struct {
	ended, highest []uint64
}

func newAnswered(calls []Call) (a answered) {
	var up []*Call
	for i := range calls {
		if calls[i].Answer == Yes && calls[i].Session == "" {
			up = append(up, &calls[i])
		}
	}
	slices.SortFunc(up, func(a, b *Call) int { return cmp.Compare(a.Ended, b.Ended) })
	highest := uint64(0)
	for _, c := range up {
		highest = max(highest, c.Index)
		a.ended, a.highest = append(a.ended, c.Ended), append(a.highest, highest)
	}
	return a
}

// before is the highest index answered before a moment.
func (a answered) before(moment uint64) uint64 {
	n := sort.Search(len(a.ended), func(i int) bool { return a.ended[i] >= moment })
	if n == 0 {
		return 0
	}
	return a.highest[n-1]
}

// RealTime checks, over all agents at once, that no answer reflects less than what had been answered before it
// was asked for.
func RealTime(calls []Call) (violations []Violation) {
	known := newAnswered(calls)
	for i := range calls {
		c := &calls[i]
		if floor := known.before(c.Began); c.Answer == Yes && c.Session == "" && c.Index != 0 && c.Index < floor {
			violations = append(violations, violation("real time", "index %d had been answered before this was asked:\n%s", floor, describe(c)))
		}
	}
	return violations
}

// Monotonic checks that no session's stale reads go back. Reads of one session come one after the other.
func Monotonic(calls []Call) (violations []Violation) {
	last := map[string]*Call{}
	for i := range calls {
		c := &calls[i]
		if c.Session == "" || c.Answer != Yes || c.Index == 0 {
			continue
		}
		if before := last[c.Session]; before != nil && c.Index < before.Index {
			violations = append(violations, violation("monotonic reads", "session %s was at index %d and then at %d", c.Session, before.Index, c.Index))
		}
		last[c.Session] = c
	}
	return violations
}
