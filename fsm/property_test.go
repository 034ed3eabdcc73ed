package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

func sprint(v any) string { return fmt.Sprint(v) }

// randomOp draws one that often meets something: few ids, all kinds.
func randomOp(random *rand.Rand) Op {
	id := fmt.Sprintf("a%d", random.IntN(12))
	object := func() AgentObject {
		o, err := AgentInfo{ID: id, Hostname: fmt.Sprintf("h%d", random.IntN(3))}.Object()
		if err != nil {
			panic(err)
		}
		return o
	}
	framework := func() FrameworkObject {
		user := fmt.Sprintf("u%d", random.IntN(2))
		info, err := CanonicalObject([]byte(fmt.Sprintf(`{"id":%q,"user":%q,"n":%d}`, id, user, random.IntN(3))))
		if err != nil {
			panic(err)
		}
		return FrameworkObject{ID: id, User: user, Info: info}
	}
	machines := func() (ids []MachineID) {
		for range random.IntN(4) {
			ids = append(ids, MachineID{Hostname: fmt.Sprintf("M%d", random.IntN(5))})
		}
		return ids
	}
	role := fmt.Sprintf("r%d", random.IntN(4))
	at := Time(random.IntN(3))
	switch random.IntN(26) {
	case 0, 1, 2:
		return AdmitAgent{object()}
	case 3:
		return UpdateAgent{object()}
	case 4, 5:
		return ReachAgent{object(), at}
	case 6, 7:
		return MarkUnreachable{ID: id, Time: at, Reason: "silent"}
	case 8:
		return MarkGone{ID: id, Time: at}
	case 9:
		return RemoveAgent{id}
	case 10:
		return PruneAgents{[]string{id, "a1", "a1"}, []string{id, "a2"}}
	case 11:
		op := DrainAgent{ID: id, MarkGone: random.IntN(2) == 0}
		if random.IntN(2) == 0 {
			op.MaxGracePeriod = ptr(Duration(random.IntN(2)))
		}
		return op
	case 12:
		return MarkDrained{id}
	case 13:
		return DeactivateAgent{id}
	case 14:
		return ReactivateAgent{id}
	case 15:
		op := ScheduleMaintenance{}
		for range random.IntN(3) {
			op.Windows = append(op.Windows, Window{machines(), Unavailability{Start: at}})
		}
		return op
	case 16:
		return StartMaintenance{machines()}
	case 17:
		return StopMaintenance{machines()}
	case 18:
		op := UpdateQuota{}
		for range random.IntN(3) {
			op.Quotas = append(op.Quotas, Quota{Role: fmt.Sprintf("r%d", random.IntN(4)), Guarantees: map[string]float64{"cpus": float64(random.IntN(3))},
				Limits: map[string]float64{"cpus": float64(random.IntN(3))}})
			if random.IntN(3) == 0 {
				op.Quotas[len(op.Quotas)-1].Limits, op.Quotas[len(op.Quotas)-1].Guarantees = nil, nil
			}
		}
		return op
	case 19:
		return UpdateWeights{[]Weight{{Role: role, Weight: float64(random.IntN(4) - 1)}, {Role: "r1", Weight: float64(random.IntN(3))}}}
	case 20:
		return AdmitProvider{Provider{ID: id, Type: role}}
	case 21:
		return RemoveProvider{id}
	case 22:
		return AdmitFramework{framework()}
	case 23:
		return UpdateFramework{framework()}
	case 24:
		if random.IntN(2) == 0 {
			return ConnectFramework{id}
		}
		return DisconnectFramework{id, at}
	default:
		if random.IntN(2) == 0 {
			return CompleteFramework{id, "done"}
		}
		return PruneFrameworks{[]string{id, "a1"}}
	}
}

// randomFrame is some operations, some of which carry request ids that came before, and epochs.
func randomFrame(random *rand.Rand, h Head) []byte {
	var ps []Proposal
	for range 1 + random.IntN(6) {
		p := Proposal{Op: randomOp(random), By: "x"}
		if random.IntN(3) == 0 {
			p.RequestID = fmt.Sprintf("q%d", random.IntN(200))
		}
		if random.IntN(10) == 0 {
			p.Epoch = uint64(random.IntN(4))
		}
		if random.IntN(40) == 0 {
			p.Op = ClaimMastership{"m1", `{"id":"m1"}`, 1}
		}
		ps = append(ps, p)
	}
	batch, err := Encode(ps...)
	if err != nil {
		panic(err)
	}
	return Join(h, batch)
}

// The same frames make the same registry and the same answers, whether one applies them all, or stops anywhere,
// writes a snapshot and goes on from it elsewhere.
func TestSnapshotAnywhereChangesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		one, other := newScripted().Registry, newScripted().Registry
		for i := range 600 {
			index := one.State().Index() + 1 + uint64(random.IntN(2))
			frame := randomFrame(random, Head{Reign: 1, At: Time(i * 1000), Limit: uint64(random.IntN(2)) * 1500})
			a, errA := one.Apply(index, frame)
			if random.IntN(10) == 0 {
				var b bytes.Buffer
				image, _ := other.Snapshot()
				if _, err := image.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				other = New()
				if err := other.Restore(&b); err != nil {
					t.Fatal(err)
				}
			}
			b, errB := other.Apply(index, frame)
			if sprintResult(a) != sprintResult(b) || errA != nil || errB != nil {
				t.Fatalf("seed %d, frame %d: %s %v, and %s %v", seed, i, sprintResult(a), errA, sprintResult(b), errB)
			}
			if one.State().Chain() != other.State().Chain() || one.State().Digest() != other.State().Digest() {
				t.Fatalf("seed %d: apart at frame %d", seed, i)
			}
		}
		if err := consistent(one); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func sprintResult(r Result) string {
	var b strings.Builder
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "%v %v;", o.Changed, o.Rejection)
	}
	return b.String()
}

// A State that was given out never changes: what it says is the same after a thousand more frames, while other
// goroutines read it all along.
func TestStatesNeverChange(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	r := newScripted().Registry
	describe := func(s *State) string {
		var b strings.Builder
		for a := range s.AllAgents("") {
			fmt.Fprintf(&b, "%+v %v\n", *a, a.Drain)
		}
		for f := range s.Frameworks("") {
			fmt.Fprintf(&b, "%+v\n", *f)
		}
		for q := range s.Quotas() {
			fmt.Fprintf(&b, "%+v\n", *q)
		}
		for m := range s.Machines() {
			fmt.Fprintf(&b, "%+v\n", *m)
		}
		changes, _ := s.Changes(0)
		for c := range changes {
			fmt.Fprintf(&b, "%+v\n", *c)
		}
		return b.String()
	}
	type kept struct {
		state *State
		said  string
	}
	var keep []kept
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				s, superseded := r.Next()
				describe(s)
				select {
				case <-superseded:
				case <-done:
					return
				}
			}
		})
	}
	for i := range 1500 {
		if i%100 == 0 {
			keep = append(keep, kept{r.State(), describe(r.State())})
		}
		if _, err := r.Apply(r.State().Index()+1, randomFrame(random, Head{Reign: 1, At: Time(i)})); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
	for _, k := range keep {
		if describe(k.state) != k.said {
			t.Fatalf("the state at index %d has changed", k.state.Index())
		}
	}
}

// A snapshot that was taken early and is written late is the registry as it was then.
func TestSnapshotWrittenLate(t *testing.T) {
	t.Parallel()
	r := goldenRegistry(t)
	early, _ := r.Snapshot()
	var now, late bytes.Buffer
	if _, err := early.WriteTo(&now); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 3))
	for i := range 200 {
		if _, err := r.Apply(r.State().Index()+1, randomFrame(random, Head{Reign: 1, At: Time(i)})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := early.WriteTo(&late); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(now.Bytes(), late.Bytes()) {
		t.Error("the snapshot has changed since it was taken")
	}
}

// Every flipped byte and every cut of a snapshot is noticed, and the registry stays as it was.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	image, _ := goldenRegistry(t).Snapshot()
	if _, err := image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	r := newScripted().Registry
	before := r.State()
	refused := func(what string, damaged []byte) {
		if err := r.Restore(bytes.NewReader(damaged)); err == nil {
			t.Errorf("%s was not noticed", what)
		}
		if r.State() != before {
			t.Fatalf("%s changed the registry", what)
		}
	}
	for i := range b.Bytes() {
		flipped := bytes.Clone(b.Bytes())
		flipped[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("a flipped byte at %d of %d", i, len(flipped)), flipped)
		refused(fmt.Sprintf("a cut after %d bytes", i), b.Bytes()[:i])
	}
	refused("a byte too many", append(bytes.Clone(b.Bytes()), 0))
}

// spoiler writes and then refuses, or panics: what no operation of ours does.
type spoiler struct{ panics bool }

func (spoiler) Kind() Kind               { return "test.spoiler" }
func (spoiler) check() error             { return nil }
func (s *spoiler) fields(to []any) []any { return append(to, &s.panics) }
func (s spoiler) apply(tx *Txn) (bool, error) {
	for agent := range tx.s.Agents(Admitted, "") {
		tx.dropAgent(agent)
		break
	}
	agent, _ := tx.Agent("a2")
	tx.moveAgent(*agent, Gone, 0, "spoilt")
	tx.s.epoch++
	put(tx, &tx.s.weights, &Weight{Role: "spoilt", Weight: 1}, false)
	if s.panics {
		panic("spoilt")
	}
	return false, tx.reject("spoilt", "spoilt")
}

// An operation that writes before it is refused, or that panics, leaves nothing behind, and the ones around it
// are applied.
func TestRefusalLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		r := goldenRegistry(t)
		digest, state := r.State().Digest(), r.State()
		tx := Txn{s: r.state, now: state.time, index: state.index, work: &r.work}
		outcome := tx.run(&Proposal{Op: spoiler{panics}})
		if outcome.Rejection == nil || panics != (outcome.Rejection.Code == Internal) {
			t.Errorf("answered %+v", outcome.Rejection)
		}
		r.publish()
		if r.State().Digest() != digest || len(tx.changes) != 0 {
			t.Error("something is left")
		}
		if _, ok := r.State().Agent("a1"); !ok {
			t.Error("an agent is lost")
		}
		if err := consistent(r); err != nil {
			t.Error(err)
		}
	}
}

// Registries that say the same have the same digest, whatever way they came to be.
func TestDigestIsOfWhatTheRegistrySays(t *testing.T) {
	t.Parallel()
	object := func(id string) AgentObject {
		o, err := AgentInfo{ID: id, Hostname: "h"}.Object()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	straight, crooked := newScripted(), newScripted()
	must := func(m *scripted, at Time, ops ...Op) {
		t.Helper()
		for _, op := range ops {
			batch, err := Encode(Proposal{Op: op, By: "x"})
			if err != nil {
				t.Fatal(err)
			}
			result, err := m.Registry.Apply(m.State().Index()+3, Join(Head{Reign: 1, At: at}, batch))
			if err != nil || result.Outcomes[0].Rejection != nil {
				t.Fatal(err, result)
			}
		}
	}
	const start = Time(1 << 61)
	must(straight, start, AdmitAgent{object("a1")}, AdmitAgent{object("a2")}, DrainAgent{ID: "a1"})
	must(crooked, start, AdmitAgent{object("a2")}, AdmitAgent{object("a3")}, RemoveAgent{"a3"}, AdmitAgent{object("a1")}, DeactivateAgent{"a1"},
		DrainAgent{ID: "a1", MarkGone: true}, DrainAgent{ID: "a1"}, AnnounceMember{ID: "n9", Format: 1})
	if straight.State().Digest() != crooked.State().Digest() {
		t.Error("equal registries, different digests")
	}
	if straight.State().Chain() == crooked.State().Chain() {
		t.Error("different histories, equal chains")
	}
	before := straight.State().Digest()
	must(straight, start, MarkDrained{"a1"})
	if straight.State().Digest() == before {
		t.Error("different registries, equal digests")
	}
	must(straight, start, DrainAgent{ID: "a1"})
	if straight.State().Digest() != before {
		t.Error("the way back has another digest")
	}
}

// The last hundred thousand request ids are remembered and the one before is not; a repeat that may be older than
// what is remembered is refused when it says since when it has been asked.
func TestRequestWindow(t *testing.T) {
	t.Parallel()
	m := newScripted()
	propose := func(h Head, ps ...Proposal) Result {
		t.Helper()
		result, err := m.do(h, ps...)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first := Proposal{Op: UpdateWeights{[]Weight{{Role: "r", Weight: 1}}}, RequestID: "first", Seen: 1}
	if o := propose(Head{Reign: 1}, first).Outcomes[0]; !o.Changed {
		t.Fatal("not applied")
	}
	noop := func(n int) []Proposal {
		ps := make([]Proposal, n)
		for i := range ps {
			ps[i] = Proposal{Op: RemoveAgent{"nobody"}, RequestID: fmt.Sprintf("%s-%d", m.clock, i)}
		}
		return ps
	}
	for range 99 {
		propose(Head{Reign: 1}, noop(1000)...)
	}
	propose(Head{Reign: 1}, noop(999)...)
	if o := propose(Head{Reign: 1}, first).Outcomes[0]; !o.Changed {
		t.Errorf("the oldest of %d is answered %+v, not as the first time", RequestWindow, o)
	}
	propose(Head{Reign: 1}, noop(1)...)
	if o := propose(Head{Reign: 1}, first).Outcomes[0]; o.Rejection == nil || o.Rejection.Code != RequestExpired {
		t.Errorf("a forgotten id is answered %+v", o)
	}
	if err := consistent(m.Registry); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	image, _ := m.Snapshot()
	if _, err := image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if o := propose(Head{Reign: 1}, first).Outcomes[0]; o.Rejection == nil || o.Rejection.Code != RequestExpired {
		t.Errorf("after a snapshot a forgotten id is answered %+v", o)
	}
	if len(m.requests) != RequestWindow {
		t.Errorf("%d ids are remembered", len(m.requests))
	}
}

// At least a hundred thousand changes are kept, an index is kept whole or not at all, and who asks for what is gone
// is told so.
func TestChangeRing(t *testing.T) {
	t.Parallel()
	m := newScripted()
	total, per := 0, 300
	for i := range 500 {
		ps := make([]Proposal, per)
		for k := range ps {
			ps[k] = Proposal{Op: UpdateWeights{[]Weight{{Role: fmt.Sprintf("r%d", k), Weight: float64(i + 1)}}}}
		}
		if _, err := m.do(Head{Reign: 1}, ps...); err != nil {
			t.Fatal(err)
		}
		total += per
	}
	s := m.State()
	var first uint64
	n := 0
	changes, ok := s.Changes(s.changesLost)
	if !ok {
		t.Fatal("kept changes are not to be had")
	}
	last := false
	for c := range changes {
		if first == 0 {
			first = c.Index
		}
		n++
		last = c.Last
	}
	if !last {
		t.Error("the newest change is not the last of its index")
	}
	if n < ChangeWindow || n >= ChangeWindow+per {
		t.Errorf("%d changes are kept", n)
	}
	if first != s.changesLost+1 || n%per != 0 {
		t.Errorf("the oldest change kept is of index %d, those up to %d are lost; %d kept", first, s.changesLost, n)
	}
	if _, ok := s.Changes(s.changesLost - 1); ok {
		t.Error("lost changes are said to be kept")
	}
	if changes, ok := s.Changes(s.Index()); !ok {
		t.Error("no changes yet is not the same as lost")
	} else {
		for range changes {
			t.Error("a change after the last one")
		}
	}
	if err := consistent(m.Registry); err != nil {
		t.Error(err)
	}
}

// What the machine does not know stops it before anything happened.
func TestUnknownBytesStopTheMachine(t *testing.T) {
	t.Parallel()
	good, err := EncodeFrame(1, time.Unix(0, 1), Proposal{Op: RemoveAgent{"a1"}})
	if err != nil {
		t.Fatal(err)
	}
	for what, frame := range map[string][]byte{
		"nothing":           {},
		"a trailing byte":   append(bytes.Clone(good), 0),
		"a cut":             good[:len(good)-1],
		"an unknown kind":   bytes.Replace(good, []byte("agent.remove"), []byte("agent.vanish"), 1),
		"an unknown format": append([]byte{good[0], 2}, good[2:]...),
		"too many fields":   bytes.Replace(good, []byte("\x91\xa2a1"), []byte("\x92\xa2a1\x00"), 1),
	} {
		r := newScripted().Registry
		before := r.State()
		if _, err := r.Apply(2, frame); err == nil {
			t.Errorf("%s was applied", what)
		}
		if r.State() != before {
			t.Errorf("%s changed the registry", what)
		}
	}
	// A shorter body is an older writer's.
	if f, err := DecodeFrame(bytes.Replace(good, []byte("\x91\xa2a1"), []byte("\x90"), 1)); err != nil || f.Proposals[0].Op.(RemoveAgent).ID != "" {
		t.Errorf("an older writer's frame: %v", err)
	}
}

// An operation larger than its limit is refused before it is proposed, and says so.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	ids := make([]string, 20_000)
	for i := range ids {
		ids[i] = strings.Repeat("x", 250)
	}
	if _, err := Encode(Proposal{Op: PruneAgents{Gone: ids}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("5 MB of ids: %v", err)
	}
	big := AgentObject{ID: "a1", Info: Info(strings.Repeat("x", MaxInfo+1))}
	if _, err := Encode(Proposal{Op: AdmitAgent{big}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an info over its limit: %v", err)
	}
}
