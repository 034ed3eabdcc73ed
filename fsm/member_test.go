package fsm

import (
	"errors"
	"testing"
)

// Whoever corrects a member's address need not know which formats it reads.
func TestMemberKeepsItsFormat(t *testing.T) {
	m := newScripted()
	for _, step := range []struct{ announced, reads uint64 }{{0, FirstFormat}, {7, 7}, {0, 7}, {3, 3}} {
		if _, err := m.do(Head{Reign: m.State().Reign()}, Proposal{Op: AnnounceMember{ID: "n2", HTTPAddr: "h:1", Format: step.announced}}); err != nil {
			t.Fatal(err)
		}
		if n2, ok := m.State().Member("n2"); !ok || n2.Format != step.reads {
			t.Errorf("after format %d was announced: %+v", step.announced, n2)
		}
	}
}

// A member that does not read what is written already is none.
func TestMemberOfAnOlderFormatIsRefused(t *testing.T) {
	s := newState()
	s.format = 2
	for _, format := range []uint64{0, 1} {
		_, err := AnnounceMember{ID: "n2", Format: format}.apply(&Txn{s: s})
		var rejection *Rejection
		if !errors.As(err, &rejection) || rejection.Code != Unsupported {
			t.Errorf("format %d: %v", format, err)
		}
	}
	if n2, ok := s.Member("n2"); ok {
		t.Errorf("%+v", n2)
	}
}
