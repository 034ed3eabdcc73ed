package logtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/registrard/registrard/log"
)

func appliedInOrder(t *testing.T, b Backend) {
	n := start(t, b)
	want := n.fill("c", 50)
	n.holds(want)
	for i := 1; i < len(want); i++ {
		if want[i].Index <= want[i-1].Index {
			t.Errorf("index %d after %d", want[i].Index, want[i-1].Index)
		}
	}
}

func refusal(t *testing.T, b Backend) {
	n := start(t, b)
	if r := n.propose("refuse this"); !r.Refused {
		t.Error("a refused command came back accepted")
	}
	want := n.fill("after", 1)
	n.holds(want)
	select {
	case <-n.Done():
		t.Errorf("a refusal halted the log: %v", n.Err())
	default:
	}
}

func status(t *testing.T, b Backend) {
	n := start(t, b)
	r := n.propose("c")
	s := n.Status()
	if s.Role != log.Leader || s.ID == "" || s.Leader != s.ID {
		t.Errorf("a leader says of itself %+v", s)
	}
	if s.Applied != r.Index || s.Commit < s.Applied || s.Last < s.Commit {
		t.Errorf("after a command at index %d: applied %d, commit %d, last %d", r.Index, s.Applied, s.Commit, s.Last)
	}
}

// Eight proposers at once: every answer carries the index at which the machine has the command.
func concurrent(t *testing.T, b Backend) {
	n := start(t, b)
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		indexes = make(map[string]uint64)
	)
	for p := range 8 {
		running.Go(func() {
			for i := range 25 {
				command := fmt.Sprintf("p%d-%d", p, i)
				r, err := n.try(command)
				if err != nil {
					t.Errorf("propose %q: %v", command, err)
					return
				}
				mu.Lock()
				indexes[command] = r.Index
				mu.Unlock()
			}
		})
	}
	running.Wait()
	entries := n.machine.Entries()
	if len(entries) != len(indexes) {
		t.Fatalf("%d commands acknowledged, %d applied", len(indexes), len(entries))
	}
	for _, e := range entries {
		if indexes[e.Command] != e.Index {
			t.Errorf("%q was applied at %d and answered with %d", e.Command, e.Index, indexes[e.Command])
		}
	}
}

func readIndex(t *testing.T, b Backend) {
	n := start(t, b)
	for i := range 20 {
		acknowledged := n.propose(fmt.Sprintf("c-%d", i)).Index
		index, err := n.ReadIndex(context.Background())
		if err != nil {
			t.Fatalf("read index: %v", err)
		}
		if index < acknowledged {
			t.Fatalf("read index %d after %d was acknowledged", index, acknowledged)
		}
		if held := n.machine.Entries(); held[len(held)-1].Index < acknowledged {
			t.Fatalf("the machine is at %d after a read index of %d", held[len(held)-1].Index, index)
		}
	}
}

func reopen(t *testing.T, b Backend) {
	n := start(t, b)
	want := n.fill("first", 10)
	for round := range 3 {
		n.stop()
		n.reopen()
		n.holds(want)
		want = append(want, n.fill(fmt.Sprintf("round-%d", round), 5)...)
		n.holds(want)
	}
}

func tooLarge(t *testing.T, b Backend) {
	if b.TooLarge == 0 {
		t.Skip("this backend has no limit")
	}
	n := start(t, b)
	want := n.fill("before", 1)
	_, err := n.try(strings.Repeat("x", b.TooLarge))
	wantErr(t, "propose", err, log.ErrTooLarge)
	want = append(want, n.fill("after", 1)...)
	n.holds(want)
}
