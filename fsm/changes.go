package fsm

import (
	"iter"
	"sort"
)

// ChangeWindow is how many changes are kept at least, for watchers to resume from. An entry's changes are kept
// all or not at all.
const ChangeWindow = 100_000

// Change is what one operation did to one record, as watchers see it.
type Change struct {
	Index  uint64 `json:"index"`
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`              // the agent's, framework's, role's, provider's or master's; "hostname|ip" for a machine; "schedule" when none of its machines changed
	Phase  string `json:"phase,omitempty"` // the agent's phase, framework's state or machine's mode after it; none when there is no record any more
	Was    string `json:"was,omitempty"`   // the same before it
	Time   Time   `json:"time"`            // the frame's
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	Last   bool   `json:"last,omitzero"` // the last change of its index
}

func (c *Change) fields() []any {
	return []any{&c.Index, &c.Kind, &c.ID, &c.Phase, &c.Was, &c.Time, &c.By, &c.Reason, &c.Last}
}

// Changes gives every change of an index above after, oldest first, up to the State's own. ok is false when
// some of them are no longer kept; then the State itself has to be read.
func (s *State) Changes(after uint64) (changes iter.Seq[*Change], ok bool) {
	ring := s.changes
	skip := sort.Search(int(ring.len()), func(i int) bool { return ring.at(ring.first+uint64(i)).Index > after })
	return ring.all(ring.first + uint64(skip)), after >= s.changesLost
}

// keepChanges appends a frame's changes and lets the oldest go.
func (s *State) keepChanges(changes []Change) {
	for _, c := range changes {
		s.changes.push(c)
	}
	for s.changes.len() > ChangeWindow {
		end := s.changes.first
		for !s.changes.at(end).Last {
			end++
		}
		if s.changes.next-(end+1) < ChangeWindow {
			return
		}
		s.changesLost = s.changes.at(end).Index
		s.changes.drop(end + 1)
	}
}
