package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

var update = flag.Bool("update", false, "write the golden files anew; only for kinds that were never shipped")

func ptr[T any](v T) *T { return &v }

// samples is one operation of each kind with every field set.
func samples() []Op {
	agent := AgentObject{ID: "a1", Info: `{"id":"a1","hostname":"h1","port":5051,"checkpoint":false}`}
	framework := FrameworkObject{ID: "f1", Principal: "p", User: "u", Checkpoint: true, Failover: Duration(time.Hour), Info: `{"id":"f1"}`}
	at := TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	machines := []MachineID{{Hostname: "m1", IP: "10.0.0.1"}, {Hostname: "m2"}}
	return []Op{
		AdmitAgent{agent},
		UpdateAgent{agent},
		ReachAgent{agent, at},
		MarkUnreachable{"a1", at, "silent"},
		MarkGone{"a1", at, "burnt"},
		RemoveAgent{"a1"},
		PruneAgents{[]string{"a1", "a2"}, []string{"a3"}},
		DrainAgent{"a1", ptr(Duration(10 * time.Minute)), true},
		MarkDrained{"a1"},
		DeactivateAgent{"a1"},
		ReactivateAgent{"a1"},
		ScheduleMaintenance{[]Window{{machines, Unavailability{at, ptr(Duration(time.Hour))}}, {machines[:1], Unavailability{Start: at}}}},
		StartMaintenance{machines},
		StopMaintenance{machines},
		UpdateQuota{[]Quota{{Role: "r", Guarantees: map[string]float64{"mem": 2, "cpus": 1}, Limits: map[string]float64{"cpus": 1.5}}}},
		UpdateWeights{[]Weight{{Role: "r", Weight: 2.5}}},
		AdmitProvider{Provider{ID: "p1", Type: "t", Name: "n"}},
		RemoveProvider{"p1"},
		AdmitFramework{framework},
		UpdateFramework{framework},
		ConnectFramework{"f1"},
		DisconnectFramework{"f1", at},
		CompleteFramework{"f1", "torn down"},
		PruneFrameworks{[]string{"f1", "f2"}},
		ClaimMastership{"m1", `{"id":"m1"}`, Duration(10 * time.Second)},
		ResignMastership{7},
		AnnounceMember{"n1", "127.0.0.1:7051", "127.0.0.1:7050", 1},
		ForgetMember{"n1"},
		RaiseFormat{2},
		Checkpoint{5, strings.Repeat("0f", 32)},
	}
}

// Every kind has a golden frame: yesterday's bytes decode to the same operation and today's have not moved.
// Changing a file of testdata/wire breaks every log that was ever written.
func TestWireGoldens(t *testing.T) {
	ops := map[Kind]Op{}
	for _, op := range samples() {
		ops[op.Kind()] = op
	}
	for _, d := range Vocabulary() {
		op, ok := ops[d.Kind]
		if !ok {
			t.Errorf("%s has no sample", d.Kind)
			continue
		}
		frame, err := EncodeFrame(3, time.Unix(1767323045, 6).UTC(), Proposal{Op: op, RequestID: "r1", Seen: 2, Epoch: 4, By: "me"})
		if err != nil {
			t.Errorf("%s: %v", d.Kind, err)
			continue
		}
		path := filepath.Join("testdata", "wire", string(d.Kind))
		want := readHex(t, path, frame)
		if !bytes.Equal(frame, want) {
			t.Errorf("%s is written as\n%x, and was\n%x", d.Kind, frame, want)
		}
		decoded, err := DecodeFrame(want)
		if err != nil {
			t.Errorf("%s: %v", d.Kind, err)
			continue
		}
		p := decoded.Proposals[0]
		if decoded.Reign != 3 || p.RequestID != "r1" || p.Seen != 2 || p.Epoch != 4 || p.By != "me" {
			t.Errorf("%s: decoded %+v", d.Kind, decoded)
		}
		again, err := EncodeFrame(decoded.Reign, decoded.At.Time(), p)
		if err != nil || !bytes.Equal(again, want) {
			t.Errorf("%s: decoded and encoded it is\n%x (%v), and was\n%x", d.Kind, again, err, want)
		}
	}
}

// readHex reads a golden file, hex with what the bytes are as a comment before it.
func readHex(t *testing.T, path string, now []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte("# "+readable(now)+"\n"+hex.EncodeToString(now)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("a kind without a golden frame: %v", err)
	}
	_, line, _ := strings.Cut(string(text), "\n")
	want, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return want
}

func readable(frame []byte) string {
	v, err := msgpack.NewDecoder(bytes.NewReader(frame)).DecodeInterface()
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(sprint(v)), "\n", " ")
}

// goldenRegistry is one in which every section of a snapshot has something.
func goldenRegistry(t testing.TB) *Registry {
	t.Helper()
	m := newScripted()
	object := func(id string) AgentObject {
		o, err := AgentInfo{ID: id, Hostname: "h-" + id}.Object()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	framework := FrameworkObject{ID: "f1", User: "u", Info: `{"id":"f1","user":"u"}`}
	machine := []MachineID{{Hostname: "m1"}}
	for _, op := range []Op{
		AdmitAgent{object("a1")}, AdmitAgent{object("a2")}, AdmitAgent{object("a3")}, DrainAgent{ID: "a1", MaxGracePeriod: ptr(Duration(time.Minute))},
		MarkUnreachable{ID: "a2", Reason: "silent"}, MarkGone{ID: "a3"}, AdmitFramework{framework},
		UpdateQuota{[]Quota{{Role: "r", Limits: map[string]float64{"cpus": 1}}}}, UpdateWeights{[]Weight{{Role: "r", Weight: 2}}},
		ScheduleMaintenance{[]Window{{machine, Unavailability{Start: 5}}}}, StartMaintenance{machine},
		AdmitProvider{Provider{ID: "p1"}}, AdmitProvider{Provider{ID: "p2"}}, RemoveProvider{"p1"},
		ClaimMastership{"m1", `{"id":"m1"}`, Duration(time.Second)},
	} {
		if _, err := m.do(Head{Reign: 1}, Proposal{Op: op, RequestID: string(op.Kind()) + "-" + m.clock.String(), By: "golden"}); err != nil {
			t.Fatal(err)
		}
	}
	return m.Registry
}

// A snapshot of every format that was ever shipped is restored, and today's are the same bytes.
func TestSnapshotGolden(t *testing.T) {
	r := goldenRegistry(t)
	image, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "snapshot", "format-1")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), golden) {
		t.Errorf("the same registry is written in %d bytes, and was in %d", b.Len(), len(golden))
	}
	old := New()
	if err := old.Restore(bytes.NewReader(golden)); err != nil {
		t.Fatal(err)
	}
	if old.State().Digest() != r.State().Digest() || old.State().Chain() != r.State().Chain() {
		t.Error("the golden snapshot holds another registry")
	}
}
