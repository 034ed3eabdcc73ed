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

func (c *Change) fields(to []any) []any {
	return append(to, &c.Index, &c.Kind, &c.ID, &c.Phase, &c.Was, &c.Time, &c.By, &c.Reason, &c.Last)
}

// History is what watchers need of a State: its index and the changes kept. It never changes, may be read from any
// goroutine, and takes no look at a table.
type History struct {
	index       uint64 // of the last frame applied
	changes     ring[Change]
	changesLost uint64 // index of the youngest change forgotten
}

// Index is that of the last frame applied; 0 before the first.
func (h *History) Index() uint64 { return h.index }

// Changes gives every change of an index above after, oldest first, up to the State's own. ok is false when
// some of them are no longer kept; then the State itself has to be read.
func (h *History) Changes(after uint64) (changes iter.Seq[*Change], ok bool) {
	ring := h.changes
	skip := sort.Search(int(ring.len()), func(i int) bool { return ring.at(ring.first+uint64(i)).Index > after })
	return ring.all(ring.first + uint64(skip)), after >= h.changesLost
}

// keepChanges appends a frame's changes and lets the oldest go.
func (h *History) keepChanges(changes []Change) {
	for _, c := range changes {
		h.changes.push(c)
	}
	for h.changes.len() > ChangeWindow {
		end := h.changes.first
		for !h.changes.at(end).Last {
			end++
		}
		if h.changes.next-(end+1) < ChangeWindow {
			return
		}
		h.changesLost = h.changes.at(end).Index
		h.changes.drop(end + 1)
	}
}
