package history

import "slices"

// Stream is what one watcher was sent, over all that it had to resume: every change of an index above After, as
// it understood it.
type Stream struct {
	Watcher string
	After   uint64
	Until   uint64 // index that it must have reached
	Changes []Change
}

// Watched checks that a watcher was sent what the log has: every change, once, in order, as far as it came, and
// that it came as far as it had to.
func Watched(s Stream, log []Change) (violations []Violation) {
	from, _ := slices.BinarySearchFunc(log, s.After+1, func(c Change, index uint64) int {
		if c.Index < index {
			return -1
		}
		return 1
	})
	due := log[from:]
	for i, got := range s.Changes {
		switch {
		case i == len(due):
			return []Violation{violation("watch", "%s was sent more than the log has: %+v", s.Watcher, got)}
		case got == due[i]:
		case i > 0 && (got == due[i-1] || got.Index < due[i-1].Index):
			return []Violation{violation("watch", "%s: after %+v came, again or out of order, %+v", s.Watcher, due[i-1], got)}
		default:
			return []Violation{violation("watch", "%s missed %+v: %+v came in its place", s.Watcher, due[i], got)}
		}
	}
	if left := due[len(s.Changes):]; len(left) > 0 && left[0].Index <= s.Until {
		return []Violation{violation("watch", "%s never came to %+v", s.Watcher, left[0])}
	}
	return nil
}
