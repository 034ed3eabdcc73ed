package memlog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/memlog"
)

// The conformance suite, over one Storage per test.
func TestConformance(t *testing.T) {
	logtest.Run(t, logtest.Backend{
		Storage: func(testing.TB) func(log.StateMachine[logtest.Result]) (log.Log[logtest.Result], error) {
			var storage memlog.Storage
			return func(m log.StateMachine[logtest.Result]) (log.Log[logtest.Result], error) {
				return memlog.Open(memlog.Config{Storage: &storage, MaxCommand: 1 << 20}, m)
			}
		},
		LoseReign: func(_ testing.TB, l log.Log[logtest.Result]) {
			node := l.(*memlog.Log[logtest.Result])
			node.LoseReign()
			node.TakeReign()
		},
		LoseReply: func(_ testing.TB, l log.Log[logtest.Result]) {
			node := l.(*memlog.Log[logtest.Result])
			node.OnPropose(func(context.Context, []byte) memlog.Fate {
				node.OnPropose(nil)
				return memlog.LoseReply
			})
		},
		TooLarge: 1<<20 + 1,
	})
}

type pair struct {
	a, b   *memlog.Log[logtest.Result]
	ma, mb *logtest.Machine
}

// open opens two nodes on one storage; a leads.
func open(t *testing.T, storage *memlog.Storage) pair {
	t.Helper()
	p := pair{ma: logtest.NewMachine(), mb: logtest.NewMachine()}
	var err error
	if p.a, err = memlog.Open(memlog.Config{ID: "a", Storage: storage}, p.ma); err != nil {
		t.Fatal(err)
	}
	if p.b, err = memlog.Open(memlog.Config{ID: "b", Storage: storage}, p.mb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.a.Close(); p.b.Close() })
	return p
}

func propose(t *testing.T, l *memlog.Log[logtest.Result], command string) {
	t.Helper()
	if _, err := l.Propose(t.Context(), []byte(command)); err != nil {
		t.Fatalf("propose %q: %v", command, err)
	}
}

func commands(m *logtest.Machine) (list []string) {
	for _, e := range m.Entries() {
		list = append(list, e.Command)
	}
	return list
}

// When the leader halts, the follower leads with everything that was acknowledged, and says who leads.
func TestFollowerTakesOver(t *testing.T) {
	t.Parallel()
	p := open(t, new(memlog.Storage))
	propose(t, p.a, "one")
	if _, err := p.b.Propose(t.Context(), []byte("not here")); !errors.Is(err, log.ErrNotLeader) {
		t.Errorf("a follower answered %v", err)
	}
	if s := p.b.Status(); s.Role != log.Follower || s.Leader != "a" {
		t.Errorf("a follower says %+v", s)
	}
	p.a.Halt(errors.New("disk on fire"))
	if _, err := p.b.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, p.b, "two")
	if got := commands(p.mb); len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("the new leader holds %v", got)
	}
	if err := p.a.Err(); !errors.Is(err, log.ErrHalted) {
		t.Errorf("the old one ended with %v", err)
	}
}

// A reign that ends while the fate of a proposal is open answers "perhaps", and the fate is kept: appended
// or dropped, on every node alike.
func TestReignLostInFlight(t *testing.T) {
	t.Parallel()
	for fate, want := range map[memlog.Fate]int{memlog.Append: 1, memlog.LoseReply: 1, memlog.Drop: 0} {
		p := open(t, new(memlog.Storage))
		p.a.OnPropose(func(context.Context, []byte) memlog.Fate {
			p.a.LoseReign()
			return fate
		})
		if _, err := p.a.Propose(t.Context(), []byte("x")); !errors.Is(err, log.ErrUncertain) {
			t.Errorf("fate %d: answered %v", fate, err)
		}
		p.b.TakeReign()
		if _, err := p.b.Lead(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := commands(p.mb); len(got) != want {
			t.Errorf("fate %d: the next leader holds %v", fate, got)
		}
	}
}

// A node that opens after the log was truncated starts from the snapshot.
func TestLateNodeStartsFromSnapshot(t *testing.T) {
	t.Parallel()
	var storage memlog.Storage
	p := open(t, &storage)
	propose(t, p.a, "one")
	if err := p.a.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, p.a, "two")
	late := logtest.NewMachine()
	l, err := memlog.Open(memlog.Config{ID: "late", Storage: &storage}, late)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.TakeReign()
	if _, err := l.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := commands(late); len(got) != 2 || late.Restored() != 1 {
		t.Errorf("it holds %v after %d snapshots", got, late.Restored())
	}
}

// The entries never take much more than SnapshotBytes, without anybody asking for a snapshot.
func TestEntriesAreTruncatedByThemselves(t *testing.T) {
	t.Parallel()
	var storage memlog.Storage
	m := logtest.NewMachine()
	l, err := memlog.Open(memlog.Config{Storage: &storage, SnapshotBytes: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		propose(t, l, "refuse: it leaves no trace in the machine, so its snapshot stays small")
	}
	l.Close()
	reopened := logtest.NewMachine()
	if l, err = memlog.Open(memlog.Config{Storage: &storage}, reopened); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if reopened.Restored() != 1 {
		t.Error("no snapshot was taken")
	}
}
