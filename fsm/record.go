package fsm

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"github.com/tidwall/btree"
)

// record is what a table keeps: immutable once it is in one. Its fields are what the registry says, and so
// what the digest covers; its Mark is where it stands in the log's history, and is not.
type record interface {
	comparable
	fielder
	key() string
	mark() *Mark
}

// Mark is where a record stands in the history of this log: the last time it changed its phase, or came to
// be where it has none. Changes within a phase leave it as it is.
type Mark struct {
	Index uint64 `json:"index"` // of the entry
	Seq   uint64 `json:"-"`     // order among all records; of two in one entry too
	At    Time   `json:"-"`     // the frame's time, by which the registrar prunes
	sum   sum
	size  int
}

func (m *Mark) mark() *Mark { return m }

// place lists what a snapshot keeps of a Mark; sums and sizes are made again from the record.
func (m *Mark) place() []any { return []any{&m.Index, &m.Seq, &m.At} }

// section numbers a table: in a snapshot, and in the digest, where a record counts as what its table says.
type section uint64

// The sections, in the order of a snapshot. Numbers are never reused.
const (
	sectionAdmitted section = 1 + iota
	sectionUnreachable
	sectionGone
	sectionFrameworks
	sectionQuotas
	sectionWeights
	sectionMachines
	sectionProviders
	sectionRemovedProviders
	sectionSchedule // one record at most
	sectionMaster   // one record at most
	sectionMembers
)

// table keeps records by key and in the order of their Marks.
type table[R record] struct {
	section section
	records *btree.Map[string, R]
	order   *btree.Map[uint64, R]
	dirty   bool // since it was frozen
}

func newTable[R record](s section) table[R] {
	return table[R]{section: s, records: new(btree.Map[string, R]), order: new(btree.Map[uint64, R]), dirty: true}
}

// freeze returns the table as it is now; last is what freeze returned the time before. It shares its nodes
// with t, which copies those that it changes later.
func (t *table[R]) freeze(last *table[R]) table[R] {
	if !t.dirty {
		return *last
	}
	t.dirty = false
	return table[R]{section: t.section, records: t.records.Copy(), order: t.order.Copy()}
}

// all gives the records after a key, in key order.
func (t *table[R]) all(after string) iter.Seq[R] {
	return func(yield func(R) bool) {
		t.records.Ascend(after, func(key string, r R) bool {
			return key == after && after != "" || yield(r)
		})
	}
}

// inOrder gives the records whose Seq is above after, oldest first.
func (t *table[R]) inOrder(after uint64) iter.Seq[R] {
	return func(yield func(R) bool) {
		if after == math.MaxUint64 {
			return
		}
		t.order.Ascend(after+1, func(_ uint64, r R) bool { return yield(r) })
	}
}

func (t *table[R]) get(key string) (R, bool) { return t.records.Get(key) }

// set writes r where the record with its key was, if one was.
func (t *table[R]) set(r R) {
	t.dirty = true
	if old, replaced := t.records.Set(r.key(), r); replaced && old.mark().Seq != r.mark().Seq {
		t.order.Delete(old.mark().Seq)
	}
	t.order.Set(r.mark().Seq, r)
}

// load fills an empty table with records in the order of their keys; each tree is filled in its own order, which is
// much faster. records is used up.
func (t *table[R]) load(records []R) {
	t.dirty = true
	for _, r := range records {
		t.records.Load(r.key(), r)
	}
	slices.SortFunc(records, func(a, b R) int { return cmp.Compare(a.mark().Seq, b.mark().Seq) })
	for _, r := range records {
		t.order.Load(r.mark().Seq, r)
	}
}

func (t *table[R]) remove(key string) (old R, there bool) {
	t.dirty = true
	if old, there = t.records.Delete(key); there {
		t.order.Delete(old.mark().Seq)
	}
	return old, there
}

// revert undoes a set or a remove: old is the record that was there, or nil.
func (t *table[R]) revert(key string, old any) {
	if r, ok := old.(R); ok {
		t.set(r)
		return
	}
	t.remove(key)
}
