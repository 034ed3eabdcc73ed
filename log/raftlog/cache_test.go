package raftlog

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// The newest entries are in memory but for those that are large; a place that was an older entry's, and what was
// deleted, is never mistaken for another; and what is answered is what the store has.
func TestCache(t *testing.T) {
	below := raft.NewInmemStore()
	c := &cache{LogStore: below}
	large := func(index uint64) bool { return index%3 == 0 }
	store := func(term, from, to uint64) {
		t.Helper()
		var entries []*raft.Log
		for index := from; index <= to; index++ {
			e := &raft.Log{Index: index, Term: term, Data: []byte("small")}
			if large(index) {
				e.Data = bytes.Repeat([]byte("x"), cachedSize+1)
			}
			entries = append(entries, e)
		}
		if err := c.StoreLogs(entries); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want func(index uint64) bool) {
		t.Helper()
		last, _ := below.LastIndex()
		for index := range last + 2 {
			var got, has raft.Log
			err, missing := c.GetLog(index, &got), below.GetLog(index, &has)
			if !errors.Is(err, missing) || got.Term != has.Term || !bytes.Equal(got.Data, has.Data) {
				t.Errorf("entry %d is of term %d, %v, and in the store of term %d, %v", index, got.Term, err, has.Term, missing)
			}
			if e := c.newest[index%cachedEntries]; (e != nil && e.Index == index) != want(index) {
				t.Errorf("entry %d is in memory: %v", index, !want(index))
			}
		}
	}
	store(1, 1, cachedEntries+10)
	kept(func(index uint64) bool { return index > 10 && index <= cachedEntries+10 && !large(index) })
	if err := c.DeleteRange(100, cachedEntries+10); err != nil {
		t.Fatal(err)
	}
	kept(func(uint64) bool { return false })
	store(2, 100, 120)
	kept(func(index uint64) bool { return index >= 100 && index <= 120 && !large(index) })
}
