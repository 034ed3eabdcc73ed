package fsm

import (
	"bytes"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	r := New()
	a, err := ParseAgent([]byte(`{"id":"a1","hostname":"h","resources":[{"name":"cpus","scalar":{"value":4}},{"name":"cpus","scalar":{"value":4}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(a.Info)
	f, err := EncodeFrame(0, time.Unix(1, 0), Proposal{Op: AnnounceMember{ID: "n1", Format: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(3, f); err != nil {
		t.Fatal(err)
	}
	f, err = EncodeFrame(3, time.Unix(2, 0), Proposal{Op: AdmitAgent{a}, RequestID: "x"}, Proposal{Op: AdmitAgent{a}}, Proposal{Op: AdmitAgent{a}, RequestID: "x"}, Proposal{Op: DrainAgent{ID: "a1"}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Apply(4, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", res)
	s, _ := r.Snapshot()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	q := New()
	if err := q.Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if q.State().Digest() != r.State().Digest() {
		t.Fatal("digest")
	}
}
