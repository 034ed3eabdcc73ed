package fsm

import (
	"bytes"
	"testing"
	"time"
)

// transplanted is a registry restored from another's snapshot.
func transplanted(t *testing.T, m *scripted) *scripted {
	t.Helper()
	from, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var old, renewed bytes.Buffer
	if _, err := from.WriteTo(&old); err != nil {
		t.Fatal(err)
	}
	to, about, err := Transplant(bytes.NewReader(old.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.WriteTo(&renewed); err != nil {
		t.Fatal(err)
	}
	again := &scripted{New(), m.clock}
	if err := again.Restore(&renewed); err != nil {
		t.Fatal(err)
	}
	if s := again.State(); s.Index() != about.Index || s.Digest() != about.Digest || s.Chain() != about.Chain {
		t.Errorf("index %d, said %d", s.Index(), about.Index)
	}
	return again
}

// A transplanted registry says the same, and nothing that the old cluster gave out is valid in it: not even what it
// gave out after the backup.
func TestTransplant(t *testing.T) {
	m := newScripted()
	head := func(m *scripted) Head { return Head{Reign: m.State().Reign()} }
	do := func(m *scripted, ps ...Proposal) []Outcome {
		t.Helper()
		r, err := m.do(head(m), ps...)
		if err != nil || r.Stale {
			t.Fatal(r, err)
		}
		return r.Outcomes
	}
	admit := func(id, request string, seen, epoch uint64) Proposal {
		object, err := AgentInfo{ID: id, Hostname: "h"}.Object()
		if err != nil {
			t.Fatal(err)
		}
		return Proposal{Op: AdmitAgent{Agent: object}, RequestID: request, Seen: seen, Epoch: epoch}
	}
	claim := Proposal{Op: ClaimMastership{ID: "m1", Info: `{"id":"m1"}`, TTL: Duration(time.Second)}}
	do(m, admit("a1", "q1", 1, 0), claim)
	epoch, seen := m.State().Epoch(), m.State().Index()
	do(m, admit("a2", "", 0, epoch))

	n := transplanted(t, m)
	if n.State().Digest() != m.State().Digest() {
		t.Error("the digest is another")
	}
	if n.State().Index() != m.State().Index()+transplantIndex || n.State().Count(Admitted) != 2 {
		t.Errorf("index %d, %d agents", n.State().Index(), n.State().Count(Admitted))
	}
	for member := range n.State().Members() {
		t.Errorf("member %s is known", member.ID)
	}
	if _, kept := n.State().Changes(m.State().Index()); kept {
		t.Error("a position of the old cluster's watchers is taken")
	}
	if _, kept := n.State().Changes(n.State().Index()); !kept {
		t.Error("its own position is refused")
	}
	if _, held := n.State().Master(); held {
		t.Error("the old master is still one")
	}
	if r, err := n.do(Head{}, Proposal{Op: AnnounceMember{ID: "n9", Format: Format}}); err != nil || r.Stale {
		t.Fatal(r, err) // the first reign
	}
	outcomes := do(n, admit("a3", "", 0, epoch), admit("a4", "", 0, epoch+1), admit("a5", "q2", seen, 0), admit("a1", "q1", 1, 0))
	for i, want := range []Code{Superseded, Superseded, RequestExpired} {
		if o := outcomes[i]; o.Rejection == nil || o.Rejection.Code != want {
			t.Errorf("operation %d: %+v, want %s", i, o, want)
		}
	}
	if o := outcomes[3]; !o.Changed {
		t.Errorf("what the backup remembers is not answered: %+v", o)
	}
	do(n, claim)
	if got := n.State().Epoch(); got != epoch+transplantEpoch+1 {
		t.Errorf("the first epoch is %d", got)
	}
	outcomes = do(n, admit("a6", "", 0, epoch+transplantEpoch+1), admit("a7", "", 0, epoch+1), admit("a8", "q3", n.State().Index(), 0))
	if !outcomes[0].Changed || outcomes[1].Rejection == nil || !outcomes[2].Changed {
		t.Errorf("%+v", outcomes)
	}
	if err := n.consistent(); err != nil {
		t.Error(err)
	}

	// Transplanted again, and a snapshot of it restored, all holds still.
	again := transplanted(t, n)
	if again.State().Digest() != n.State().Digest() || again.State().Index() != n.State().Index()+transplantIndex {
		t.Error("the second time it is another registry")
	}
}
