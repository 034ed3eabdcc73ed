package fsm

import (
	"fmt"

	"github.com/registrard/registrard/cluster-tests/planted"
)

// Txn is the only way in which a State changes. It lives as long as one frame is applied; each operation of
// the frame begins where the one before it left off and is undone when it is refused.
type Txn struct {
	s     *State
	now   Time // the frame's
	index uint64
	limit uint64 // of the State's bytes; 0: none
	work  *scratch

	// Of the operation being applied.
	kind  Kind
	by    string
	undo  []undo
	begun int // where its changes begin

	changes []Change // of the frame so far
}

// undo puts back what one write replaced.
type undo struct {
	table interface{ revert(key string, old any) }
	key   string
	old   any // nil: nothing was there
}

// reject makes the error of an operation that meets a State it does not fit.
func (tx *Txn) reject(code Code, format string, args ...any) error {
	return &Rejection{Kind: tx.kind, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func reject(kind Kind, code Code, format string, args ...any) Outcome {
	return Outcome{Rejection: &Rejection{Kind: kind, Code: code, Reason: fmt.Sprintf(format, args...)}}
}

// changed tells watchers of a record that the operation touched.
func (tx *Txn) changed(c Change) {
	c.Index, c.Kind, c.Time, c.By = tx.index, tx.kind, tx.now, tx.by
	tx.changes = append(tx.changes, c)
}

// run applies one operation; a refusal or a panic leaves nothing of it behind.
func (tx *Txn) run(p *Proposal) (outcome Outcome) {
	tx.kind, tx.by = p.Op.Kind(), p.By
	tx.undo = tx.undo[:0]
	tx.begun = len(tx.changes)
	before := tx.s.totals
	drop := func(o Outcome) Outcome {
		for i := len(tx.undo) - 1; i >= 0; i-- {
			tx.undo[i].table.revert(tx.undo[i].key, tx.undo[i].old)
		}
		tx.s.totals = before
		tx.changes = tx.changes[:tx.begun]
		return o
	}
	defer func() {
		if fault := recover(); fault != nil {
			outcome = drop(reject(tx.kind, Internal, "applying it panicked: %v", fault))
		}
	}()
	if err := p.Op.check(); err != nil {
		return reject(tx.kind, BadRequest, "%s", err)
	}
	if p.Epoch != 0 && !planted.IgnoreEpoch {
		if master, ok := tx.s.Master(); !ok || p.Epoch != master.Epoch {
			return reject(tx.kind, Superseded, "epoch %d is not the current one", p.Epoch)
		}
	}
	changed, err := p.Op.apply(tx)
	if err != nil {
		return drop(Outcome{Rejection: err.(*Rejection)})
	}
	if tx.limit != 0 && tx.s.bytes > tx.limit && tx.s.bytes > before.bytes {
		return drop(reject(tx.kind, RegistryFull, "the registry has reached its limit of %d bytes", tx.limit))
	}
	return Outcome{Changed: changed}
}

// put writes r in the place of the record with its key, and tells whether they differ. A record that is new,
// or moved, goes to the end of the order; another keeps its Mark.
func put[R record](tx *Txn, t *table[R], r R, moved bool) bool {
	old, exists := t.get(r.key())
	if !exists || moved {
		place(tx, t, r, old)
		return true
	}
	m := r.mark()
	m.sum, m.size = tx.work.measure(t.section, r)
	if m.sum == old.mark().sum {
		return false
	}
	m.Index, m.Seq, m.At = old.mark().Index, old.mark().Seq, old.mark().At
	tx.undo = append(tx.undo, undo{t, r.key(), old})
	tx.s.discount(t.section, old.mark())
	tx.s.count(t.section, m)
	t.set(r)
	return true
}

// place writes r, at the end of the order, where old was; old is nil where nothing was.
func place[R record](tx *Txn, t *table[R], r, old R) {
	m := r.mark()
	m.sum, m.size = tx.work.measure(t.section, r)
	tx.s.seq++
	m.Index, m.Seq, m.At = tx.index, tx.s.seq, tx.now
	var none R
	if old == none {
		tx.undo = append(tx.undo, undo{t, r.key(), nil})
	} else {
		tx.undo = append(tx.undo, undo{t, r.key(), old})
		tx.s.discount(t.section, old.mark())
	}
	tx.s.count(t.section, m)
	t.set(r)
}

// drop takes the record with that key out, if it is there.
func drop[R record](tx *Txn, t *table[R], key string) bool {
	old, exists := t.remove(key)
	if exists {
		tx.undo = append(tx.undo, undo{t, key, old})
		tx.s.discount(t.section, old.mark())
	}
	return exists
}

// count and discount keep digest and size in step with the tables. Members belong to the log: neither the digest
// nor the limit on growth covers them. Nor does a limit stand in the way of a new master.
func (s *State) count(in section, m *Mark) {
	if in != sectionMembers {
		s.sum.add(m.sum)
	}
	if in != sectionMembers && in != sectionMaster {
		s.bytes += uint64(m.size)
	}
}

func (s *State) discount(in section, m *Mark) {
	if in != sectionMembers {
		s.sum.sub(m.sum)
	}
	if in != sectionMembers && in != sectionMaster {
		s.bytes -= uint64(m.size)
	}
}
