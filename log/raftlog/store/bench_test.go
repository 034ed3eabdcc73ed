package store

import (
	"testing"

	"github.com/hashicorp/raft"
)

// Reading a log of a hundred thousand small entries from end to end, as every open does.
func BenchmarkVerify(b *testing.B) {
	g := NewGuard(func(err error) { b.Error(err) })
	defer g.Close()
	l, err := OpenLog(b.TempDir(), LogConfig{Guard: g})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const count = 100_000
	batch := make([]*raft.Log, 0, 500)
	for i := range uint64(count) {
		batch = append(batch, &raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 200)})
		if len(batch) == cap(batch) {
			if err := l.StoreLogs(batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	for b.Loop() {
		if _, err := l.verify(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*count), "µs/entry")
}

// The price of one small append, its sync included.
func BenchmarkAppend(b *testing.B) {
	g := NewGuard(func(err error) { b.Error(err) })
	defer g.Close()
	l, err := OpenLog(b.TempDir(), LogConfig{Guard: g})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	index := uint64(0)
	for b.Loop() {
		index++
		if err := l.StoreLog(&raft.Log{Index: index, Term: 1, Data: make([]byte, 200)}); err != nil {
			b.Fatal(err)
		}
	}
}

// The price of a vote, as raft casts it.
func BenchmarkVote(b *testing.B) {
	g := NewGuard(func(err error) { b.Error(err) })
	defer g.Close()
	v, err := OpenVote(b.TempDir()+"/vote", g)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	term := uint64(0)
	for b.Loop() {
		term++
		if v.SetUint64([]byte(keyVoteTerm), term) != nil || v.Set([]byte(keyCandidate), []byte("n1")) != nil {
			b.Fatal("not written")
		}
	}
}
