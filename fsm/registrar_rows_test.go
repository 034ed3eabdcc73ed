package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// rows is a registry asked as the tests of the Mesos registrar ask theirs (src/tests/registrar_tests.cpp): T is an
// operation that is not refused, F one that is. Each test below is one row of section 3.10 of the semantics and is
// named after it. Recover and Abort are the registrar's own (registrar/rows_test.go); FetchTimeout, StoreTimeout
// and Authentication are of a storage and an endpoint that this design does not have.
type rows struct {
	*scripted
	t *testing.T
}

func newRows(t *testing.T) rows {
	t.Parallel()
	return rows{newScripted(), t}
}

func (r rows) T(op Op) bool {
	r.t.Helper()
	return r.ask(op, false)
}

func (r rows) F(op Op) {
	r.t.Helper()
	r.ask(op, true)
}

func (r rows) ask(op Op, refused bool) (changed bool) {
	r.t.Helper()
	result, err := r.do(Head{Reign: 1}, Proposal{Op: op})
	if err != nil {
		r.t.Fatal(err)
	}
	o := result.Outcomes[0]
	if refused != (o.Rejection != nil) {
		r.t.Fatalf("%+v: %+v", op, o)
	}
	return o.Changed
}

func (r rows) object(id string) AgentObject {
	object, err := AgentInfo{ID: id, Hostname: "host-" + id}.Object()
	if err != nil {
		r.t.Fatal(err)
	}
	return object
}

// agents checks who is in which phase.
func (r rows) agents(want string) {
	r.t.Helper()
	got := ""
	for a := range r.State().AllAgents("") {
		got += fmt.Sprintf("%s %s ", a.ID, a.Phase)
	}
	if got != want {
		r.t.Fatalf("agents %q, want %q", got, want)
	}
}

func (r rows) needs(want ...string) {
	r.t.Helper()
	if got := r.State().MinimumCapabilities(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("minimum capabilities %v, want %v", got, want)
	}
}

// reopen is what another registrar would recover.
func (r rows) reopen() {
	r.t.Helper()
	if err := r.consistent(); err != nil {
		r.t.Fatal(err)
	}
}

func TestRowAdmit(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	r.F(AdmitAgent{r.object("a1")})
}

func TestRowUpdateSlave(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	changed, err := AgentInfo{ID: "a1", Hostname: "changed.hostname"}.Object()
	if err != nil {
		t.Fatal(err)
	}
	r.T(UpdateAgent{changed})
	r.reopen()
	if r.T(UpdateAgent{changed}) {
		t.Error("the same update changed something")
	}
	r.agents("a1 admitted ")
	if a, _ := r.State().Agent("a1"); a.Info != changed.Info {
		t.Errorf("info is %s", a.Info)
	}
}

func TestRowMarkReachable(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	r.T(ReachAgent{Agent: r.object("a1")})
	r.T(ReachAgent{Agent: r.object("a1")})
	r.T(ReachAgent{Agent: r.object("a2")})
	r.agents("a1 admitted a2 admitted ")
}

func TestRowMarkUnreachable(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	r.T(MarkUnreachable{ID: "a1"})
	r.T(ReachAgent{Agent: r.object("a1")})
	r.T(MarkUnreachable{ID: "a1"})
	r.F(MarkUnreachable{ID: "a1"})
	r.agents("a1 unreachable ")
}

func TestRowMarkGone(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	r.T(MarkGone{ID: "a1"})
	r.agents("a1 gone ")
}

func TestRowMarkUnreachableGone(t *testing.T) {
	r := newRows(t)
	r.T(AdmitAgent{r.object("a1")})
	r.T(MarkUnreachable{ID: "a1"})
	r.T(MarkGone{ID: "a1"})
	r.F(MarkGone{ID: "a1"})
	r.F(MarkUnreachable{ID: "a1"})
	r.agents("a1 gone ")
}

func TestRowPrune(t *testing.T) {
	r := newRows(t)
	for range 2 {
		for _, id := range []string{"a1", "a2", "a3"} {
			r.T(AdmitAgent{r.object(id)})
		}
		r.T(MarkUnreachable{ID: "a1"})
		r.T(MarkUnreachable{ID: "a2"})
		r.T(MarkGone{ID: "a3"})
		r.T(PruneAgents{Unreachable: []string{"a1"}})
		r.agents("a2 unreachable a3 gone ")
		r.T(PruneAgents{Unreachable: []string{"a2"}})
		r.T(PruneAgents{Gone: []string{"a3"}})
		r.agents("")
	}
	// Not in the original, which deletes neighbours here (D1): an id that is not the oldest.
	for i := range 5 {
		id := fmt.Sprintf("b%d", i)
		r.T(AdmitAgent{r.object(id)})
		r.T(MarkUnreachable{ID: id})
	}
	r.T(PruneAgents{Unreachable: []string{"b3"}})
	r.agents("b0 unreachable b1 unreachable b2 unreachable b4 unreachable ")
}

func TestRowRemove(t *testing.T) {
	r := newRows(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		r.T(AdmitAgent{r.object(id)})
	}
	for _, id := range []string{"a1", "a3", "a2"} {
		r.T(RemoveAgent{id})
		r.F(RemoveAgent{id})
		r.T(AdmitAgent{r.object(id)})
		r.T(RemoveAgent{id})
	}
	r.agents("")
}

func machine(n int) MachineID {
	return MachineID{Hostname: fmt.Sprintf("Machine%d", n), IP: fmt.Sprintf("0.0.0.%d", n)}
}

func window(start Time, machines ...int) Window {
	w := Window{Unavailability: Unavailability{Start: start}}
	for _, n := range machines {
		w.Machines = append(w.Machines, machine(n))
	}
	return w
}

// schedule checks how many windows there are (-1: no schedule) and the modes of all machines.
func (r rows) schedule(windows int, modes string) {
	r.t.Helper()
	got := -1
	if s, ok := r.State().Schedule(); ok {
		got = len(s.Windows)
	}
	said := ""
	for m := range r.State().Machines() {
		said += fmt.Sprintf("%s %s ", m.ID.Hostname, m.Mode)
	}
	if got != windows || said != modes {
		r.t.Fatalf("%d windows and %q, want %d and %q", got, said, windows, modes)
	}
	r.reopen()
}

func TestRowUpdateMaintenanceSchedule(t *testing.T) {
	r := newRows(t)
	r.T(ScheduleMaintenance{[]Window{window(1, 1)}})
	r.schedule(1, "Machine1 draining ")
	r.T(ScheduleMaintenance{[]Window{window(1, 1), window(2, 2)}})
	r.schedule(2, "Machine1 draining Machine2 draining ")
	r.T(ScheduleMaintenance{[]Window{window(1, 1), window(2, 2, 3)}})
	r.schedule(2, "Machine1 draining Machine2 draining Machine3 draining ")
	r.T(ScheduleMaintenance{[]Window{window(1, 1, 2, 3)}})
	r.schedule(1, "Machine1 draining Machine2 draining Machine3 draining ")
	r.T(ScheduleMaintenance{[]Window{window(1, 2, 3)}})
	r.schedule(1, "Machine2 draining Machine3 draining ")
	r.T(ScheduleMaintenance{[]Window{}})
	r.schedule(0, "")
}

func TestRowStartMaintenance(t *testing.T) {
	r := newRows(t)
	r.T(ScheduleMaintenance{[]Window{window(1, 1, 2)}})
	r.T(StartMaintenance{[]MachineID{machine(2)}})
	r.schedule(1, "Machine1 draining Machine2 down ")
	r.T(ScheduleMaintenance{[]Window{window(1, 1, 2), window(2, 3)}})
	r.schedule(2, "Machine1 draining Machine2 down Machine3 draining ")
	r.T(StartMaintenance{[]MachineID{machine(1), machine(3)}})
	r.schedule(2, "Machine1 down Machine2 down Machine3 down ")
}

func TestRowStopMaintenance(t *testing.T) {
	r := newRows(t)
	r.T(ScheduleMaintenance{[]Window{window(1, 1, 2), window(2, 3)}})
	r.T(StartMaintenance{[]MachineID{machine(1), machine(2), machine(3)}})
	r.T(StopMaintenance{[]MachineID{machine(3)}})
	r.schedule(1, "Machine1 down Machine2 down ")
	r.T(StopMaintenance{[]MachineID{machine(1), machine(2)}})
	r.schedule(-1, "")
}

func TestRowDrainAgent(t *testing.T) {
	r := newRows(t)
	if r.T(DrainAgent{ID: "a1", MarkGone: true}) {
		t.Error("draining nobody changed something")
	}
	r.needs()
	r.T(AdmitAgent{r.object("a1")})
	r.T(DrainAgent{ID: "a1", MarkGone: true})
	check := func() {
		t.Helper()
		a, _ := r.State().Agent("a1")
		if a.Drain == nil || *a.Drain != (Drain{State: Draining, MarkGone: true}) || !a.Deactivated {
			t.Fatalf("%+v, drain %+v", a, a.Drain)
		}
		r.needs("AGENT_DRAINING")
		r.reopen()
	}
	check()
	r.T(MarkUnreachable{ID: "a1"})
	check()
	r.T(ReachAgent{Agent: r.object("a1")})
	check()
}

func TestRowMarkAgentDrained(t *testing.T) {
	r := newRows(t)
	r.T(MarkDrained{"a1"})
	r.T(AdmitAgent{r.object("a1")})
	r.F(MarkDrained{"a1"})
	r.T(DrainAgent{ID: "a1"})
	r.T(MarkDrained{"a1"})
	if a, _ := r.State().Agent("a1"); a.Drain.State != Drained {
		t.Error(a.Drain.State)
	}
	r.T(RemoveAgent{"a1"})
	r.T(AdmitAgent{r.object("a1")})
	if a, _ := r.State().Agent("a1"); a.Drain != nil {
		t.Error("the drain is still there")
	}
	r.T(MarkUnreachable{ID: "a1"})
	r.F(MarkDrained{"a1"})
	r.T(DrainAgent{ID: "a1"})
	r.T(MarkDrained{"a1"})
}

func TestRowDeactivateAgent(t *testing.T) {
	r := newRows(t)
	if r.T(DeactivateAgent{"a1"}) {
		t.Error("deactivating nobody changed something")
	}
	r.needs()
	r.T(AdmitAgent{r.object("a1")})
	r.T(DeactivateAgent{"a1"})
	for _, op := range []Op{MarkUnreachable{ID: "a1"}, ReachAgent{Agent: r.object("a1")}, nil} {
		a, _ := r.State().Agent("a1")
		if !a.Deactivated || a.Drain != nil {
			t.Fatalf("%+v", a)
		}
		r.needs("AGENT_DRAINING")
		if op != nil {
			r.T(op)
		}
	}
}

func TestRowReactivateAgent(t *testing.T) {
	r := newRows(t)
	for _, id := range []string{"a1", "a2", "a3"} {
		r.T(AdmitAgent{r.object(id)})
	}
	r.T(DeactivateAgent{"a1"})
	r.T(DrainAgent{ID: "a2"})
	r.T(ReactivateAgent{"a1"})
	r.needs("AGENT_DRAINING")
	r.T(ReactivateAgent{"a3"}) // it was active
	r.needs("AGENT_DRAINING")
	r.T(ReactivateAgent{"a2"})
	r.needs()
	for _, order := range [][]string{{"a1", "a2"}, {"a2", "a1"}} {
		for _, id := range order {
			r.T(DeactivateAgent{id})
			r.T(MarkUnreachable{ID: id})
		}
		r.T(ReactivateAgent{order[0]})
		r.needs("AGENT_DRAINING")
		r.T(ReactivateAgent{order[1]})
		r.needs()
		for _, id := range order {
			r.T(ReachAgent{Agent: r.object(id)})
		}
	}
	r.T(DeactivateAgent{"a1"})
	r.T(MarkUnreachable{ID: "a1"})
	r.T(DeactivateAgent{"a2"})
	r.T(ReactivateAgent{"a2"})
	r.needs("AGENT_DRAINING") // the unreachable one keeps it
}

func quota(role string, limit float64) Quota {
	return Quota{Role: role, Limits: map[string]float64{"cpus": limit}}
}

func (r rows) quotas(want string) {
	r.t.Helper()
	got := ""
	for q := range r.State().Quotas() {
		got += fmt.Sprintf("%s %v ", q.Role, q.Limits["cpus"])
	}
	if got != want {
		r.t.Fatalf("quotas %q, want %q", got, want)
	}
	r.reopen()
}

func TestRowUpdateQuota(t *testing.T) {
	r := newRows(t)
	r.T(UpdateQuota{[]Quota{{Role: "role1"}}})
	r.quotas("")
	r.needs()
	r.T(UpdateQuota{[]Quota{quota("role1", 1)}})
	r.quotas("role1 1 ")
	r.needs("QUOTA_V2")
	r.T(UpdateQuota{[]Quota{quota("another", 2)}})
	r.quotas("role1 1 another 2 ")
	r.T(UpdateQuota{[]Quota{quota("role1", 3), quota("another", 4)}})
	r.quotas("role1 3 another 4 ")
	r.T(UpdateQuota{[]Quota{{Role: "role1"}}})
	r.quotas("another 4 ")
	r.needs("QUOTA_V2")
	r.T(UpdateQuota{[]Quota{{Role: "another"}}})
	r.quotas("")
	r.needs()
}

func TestRowUpdateQuotaInvalid(t *testing.T) {
	r := newRows(t)
	r.F(UpdateQuota{[]Quota{{Role: "role", Limits: map[string]float64{"mem": 1<<40 + 1}}}})
	r.quotas("")
}

func TestRowUpdateWeights(t *testing.T) {
	r := newRows(t)
	r.T(UpdateWeights{[]Weight{{Role: "role1", Weight: 1}}})
	r.T(UpdateWeights{[]Weight{{Role: "role1", Weight: 0.8}, {Role: "role2", Weight: 3.6}}})
	got := ""
	for w := range r.State().Weights() {
		got += fmt.Sprintf("%s %v ", w.Role, w.Weight)
	}
	if got != "role1 0.8 role2 3.6 " {
		t.Error(got)
	}
}

func TestRowBootstrap(t *testing.T) {
	r := newRows(t)
	r.T(ReachAgent{Agent: r.object("a1")})
	r.reopen()
	r.agents("a1 admitted ")
}

// The rows "Benchmarks", at the original's largest size, in 512 operations a frame as the registrar makes them.
func BenchmarkRows(b *testing.B) {
	const agents = 50_000
	objects := make([]AgentObject, agents)
	for i := range objects {
		object, err := AgentInfo{
			ID: fmt.Sprintf("agent-%06d", i), Hostname: fmt.Sprintf("host-%06d.example.org", i),
			Resources:  []Resource{{Name: "cpus", Scalar: &Scalar{16}}, {Name: "mem", Scalar: &Scalar{65536}}, {Name: "disk", Scalar: &Scalar{1 << 20}}},
			Attributes: []Attribute{{Name: "rack", Text: &Text{"r1"}}, {Name: "zone", Text: &Text{"z1"}}},
		}.Object()
		if err != nil {
			b.Fatal(err)
		}
		objects[i] = object
	}
	phases := []struct {
		name string
		op   func(i int) Op
	}{
		{"admit", func(i int) Op { return AdmitAgent{objects[i]} }},
		{"reachable-unchanged", func(i int) Op { return ReachAgent{Agent: objects[i]} }},
		{"unreachable", func(i int) Op { return MarkUnreachable{ID: objects[i].ID} }},
		{"reachable", func(i int) Op { return ReachAgent{Agent: objects[i]} }},
		{"remove", func(i int) Op { return RemoveAgent{objects[i].ID} }},
	}
	random := rand.New(rand.NewPCG(1, 1))
	spent := make([]time.Duration, len(phases))
	for b.Loop() {
		m := newScripted()
		for n, phase := range phases {
			var frames [][]byte
			order := random.Perm(agents)
			for len(order) > 0 {
				count := min(512, len(order))
				ps := make([]Proposal, count)
				for i, k := range order[:count] {
					ps[i] = Proposal{Op: phase.op(k), By: "bench"}
				}
				order = order[count:]
				frame, err := EncodeFrame(1, m.clock, ps...)
				if err != nil {
					b.Fatal(err)
				}
				frames = append(frames, frame)
			}
			start := time.Now()
			for _, frame := range frames {
				if _, err := m.Registry.Apply(m.State().Index()+1, frame); err != nil {
					b.Fatal(err)
				}
			}
			spent[n] += time.Since(start)
		}
	}
	for n, phase := range phases {
		b.ReportMetric(float64(spent[n].Nanoseconds())/float64(b.N)/agents, phase.name[:min(len(phase.name), 20)]+"-ns/op")
	}
}
