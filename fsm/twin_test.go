package fsm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// twin is the registry as an obvious map and some slices, written from the specification. It knows no trees, no
// bytes and no undo: every operation is made on a copy.
type twin struct {
	agents     map[string]twinAgent
	frameworks map[string]twinFramework
	quotas     []Quota
	weights    []Weight
	windows    []Window
	scheduled  bool
	machines   []Machine
	providers  []string
	removed    []string
	epoch      uint64
	master     bool
	requests   map[string]twinRequest
}

type twinAgent struct {
	phase       Phase
	info        Info
	drain       *Drain
	deactivated bool
	since       Time
	reason, by  string
}

type twinFramework struct {
	state FrameworkState
	info  Info
	user  string
}

type twinRequest struct {
	op      Op
	outcome string
}

func newTwin() *twin {
	return &twin{agents: map[string]twinAgent{}, frameworks: map[string]twinFramework{}, requests: map[string]twinRequest{}}
}

// propose answers "changed", "unchanged" or a code.
func (w *twin) propose(p Proposal, now Time) string {
	if first, ok := w.requests[p.RequestID]; p.RequestID != "" && ok {
		if !reflect.DeepEqual(first.op, p.Op) {
			return "request_reused"
		}
		return first.outcome
	}
	answer := "superseded"
	if p.Epoch == 0 || w.master && p.Epoch == w.epoch {
		answer = w.apply(p.Op, now, p.By)
	}
	if p.RequestID != "" {
		w.requests[p.RequestID] = twinRequest{p.Op, answer}
	}
	return answer
}

func did(changed bool) string {
	if changed {
		return "changed"
	}
	return "unchanged"
}

// refused by the phase in which an agent is met.
var refused = map[Phase]string{0: "unknown_agent", Admitted: "already_admitted", Unreachable: "agent_unreachable", Gone: "agent_gone"}

func (w *twin) apply(op Op, now Time, by string) string {
	since := func(t Time) Time {
		if t == 0 {
			return now
		}
		return t
	}
	switch op := op.(type) {
	case AdmitAgent:
		if a, ok := w.agents[op.Agent.ID]; ok {
			return refused[a.phase]
		}
		w.agents[op.Agent.ID] = twinAgent{phase: Admitted, info: op.Agent.Info, since: now, by: by}
		return "changed"
	case UpdateAgent:
		a := w.agents[op.Agent.ID]
		if a.phase != Admitted {
			return refused[a.phase]
		}
		changed := a.info != op.Agent.Info
		a.info = op.Agent.Info
		w.agents[op.Agent.ID] = a
		return did(changed)
	case ReachAgent:
		a := w.agents[op.Agent.ID]
		if a.phase == Gone {
			return "agent_gone"
		}
		if a.phase == Admitted {
			return "unchanged"
		}
		a.phase, a.info, a.since, a.reason, a.by = Admitted, op.Agent.Info, since(op.Time), "", by
		w.agents[op.Agent.ID] = a
		return "changed"
	case MarkUnreachable:
		a := w.agents[op.ID]
		if a.phase != Admitted {
			return refused[a.phase]
		}
		a.phase, a.since, a.reason, a.by = Unreachable, since(op.Time), op.Reason, by
		w.agents[op.ID] = a
		return "changed"
	case MarkGone:
		a := w.agents[op.ID]
		switch a.phase {
		case 0:
			return "unknown_agent"
		case Gone:
			return "already_gone"
		}
		w.agents[op.ID] = twinAgent{phase: Gone, info: a.info, since: since(op.Time), reason: op.Reason, by: by}
		return "changed"
	case RemoveAgent:
		a := w.agents[op.ID]
		if a.phase != Admitted {
			return refused[a.phase]
		}
		delete(w.agents, op.ID)
		return "changed"
	case PruneAgents:
		changed := false
		for phase, ids := range map[Phase][]string{Unreachable: op.Unreachable, Gone: op.Gone} {
			for _, id := range ids {
				if w.agents[id].phase == phase {
					delete(w.agents, id)
					changed = true
				}
			}
		}
		return did(changed)
	case DrainAgent:
		return w.change(op.ID, func(a *twinAgent) {
			a.drain, a.deactivated = &Drain{Draining, op.MaxGracePeriod, op.MarkGone}, true
		})
	case MarkDrained:
		a := w.agents[op.ID]
		if a.phase != 0 && a.phase != Gone && a.drain == nil {
			return "not_draining"
		}
		return w.change(op.ID, func(a *twinAgent) {
			a.drain = &Drain{Drained, a.drain.MaxGracePeriod, a.drain.MarkGone}
		})
	case DeactivateAgent:
		return w.change(op.ID, func(a *twinAgent) { a.deactivated = true })
	case ReactivateAgent:
		return w.change(op.ID, func(a *twinAgent) { a.drain, a.deactivated = nil, false })
	case ScheduleMaintenance:
		return w.schedule(op.Windows)
	case StartMaintenance:
		return w.maintain(op.Machines, ModeDraining)
	case StopMaintenance:
		return w.maintain(op.Machines, ModeDown)
	case UpdateQuota:
		return w.setQuotas(op.Quotas)
	case UpdateWeights:
		return w.setWeights(op.Weights)
	case AdmitProvider:
		switch {
		case slices.Contains(w.removed, op.Provider.ID):
			return "removed_provider"
		case slices.Contains(w.providers, op.Provider.ID):
			return "already_known"
		}
		w.providers = append(w.providers, op.Provider.ID)
		return "changed"
	case RemoveProvider:
		i := slices.Index(w.providers, op.ID)
		switch {
		case slices.Contains(w.removed, op.ID):
			return "removed_provider"
		case i < 0:
			return "unknown_provider"
		}
		w.providers, w.removed = slices.Delete(w.providers, i, i+1), append(w.removed, op.ID)
		return "changed"
	case ClaimMastership:
		w.epoch, w.master = w.epoch+1, true
		return "changed"
	}
	return w.applyFramework(op)
}

func (w *twin) change(id string, f func(*twinAgent)) string {
	a, ok := w.agents[id]
	if !ok || a.phase == Gone {
		return "unchanged"
	}
	before := a
	f(&a)
	w.agents[id] = a
	return did(!reflect.DeepEqual(before, a))
}

func (w *twin) schedule(windows []Window) string {
	named := map[string]Unavailability{}
	for _, window := range windows {
		if len(window.Machines) == 0 {
			return "invalid_schedule"
		}
		for _, m := range window.Machines {
			name := strings.ToLower(m.Hostname)
			if _, twice := named[name]; twice {
				return "invalid_schedule"
			}
			named[name] = window.Unavailability
		}
	}
	for _, m := range w.machines {
		if _, ok := named[strings.ToLower(m.ID.Hostname)]; !ok && m.Mode == ModeDown {
			return "invalid_schedule"
		}
	}
	same := w.scheduled && len(windows) == len(w.windows)
	for i := range windows {
		same = same && reflect.DeepEqual(windows[i], w.windows[i])
	}
	w.windows, w.scheduled = windows, true
	var machines []Machine
	for _, m := range w.machines {
		if u, ok := named[strings.ToLower(m.ID.Hostname)]; ok {
			m.Unavailability = u
			machines = append(machines, m)
			delete(named, strings.ToLower(m.ID.Hostname))
		}
	}
	for _, window := range windows {
		for _, m := range window.Machines {
			if _, ok := named[strings.ToLower(m.Hostname)]; ok {
				machines = append(machines, Machine{ID: m, Mode: ModeDraining, Unavailability: window.Unavailability})
			}
		}
	}
	w.machines = machines
	return did(!same)
}

func (w *twin) maintain(ids []MachineID, mode Mode) string {
	if len(ids) == 0 {
		return "invalid_schedule"
	}
	named := map[string]bool{}
	for _, id := range ids {
		name := strings.ToLower(id.Hostname)
		i := slices.IndexFunc(w.machines, func(m Machine) bool { return strings.ToLower(m.ID.Hostname) == name })
		if named[name] || i < 0 || w.machines[i].Mode != mode {
			return "invalid_schedule"
		}
		named[name] = true
	}
	if mode == ModeDraining {
		for i := range w.machines {
			if named[strings.ToLower(w.machines[i].ID.Hostname)] {
				w.machines[i].Mode = ModeDown
			}
		}
		return "changed"
	}
	w.machines = slices.DeleteFunc(w.machines, func(m Machine) bool { return named[strings.ToLower(m.ID.Hostname)] })
	var windows []Window
	for _, window := range w.windows {
		var left []MachineID
		for _, m := range window.Machines {
			if !named[strings.ToLower(m.Hostname)] {
				left = append(left, m)
			}
		}
		if len(left) > 0 {
			windows = append(windows, Window{left, window.Unavailability})
		}
	}
	w.windows, w.scheduled = windows, len(windows) > 0
	return "changed"
}

func (w *twin) setQuotas(quotas []Quota) string {
	for _, q := range quotas {
		for name, v := range q.Guarantees {
			if limit, ok := q.Limits[name]; ok && v > limit {
				return "invalid_quota"
			}
		}
	}
	changed := false
	for _, q := range quotas {
		i := slices.IndexFunc(w.quotas, func(o Quota) bool { return o.Role == q.Role })
		zero := len(q.Limits) == 0
		for _, v := range q.Guarantees {
			zero = zero && v == 0
		}
		switch {
		case zero && i >= 0:
			w.quotas = slices.Delete(w.quotas, i, i+1)
		case zero:
			continue
		case i >= 0 && maps.Equal(w.quotas[i].Guarantees, q.Guarantees) && maps.Equal(w.quotas[i].Limits, q.Limits):
			continue
		case i >= 0:
			w.quotas[i] = q
		default:
			w.quotas = append(w.quotas, q)
		}
		changed = true
	}
	return did(changed)
}

func (w *twin) setWeights(weights []Weight) string {
	for _, x := range weights {
		if x.Weight < 0 {
			return "invalid_weight"
		}
	}
	changed := false
	for _, x := range weights {
		i := slices.IndexFunc(w.weights, func(o Weight) bool { return o.Role == x.Role })
		switch {
		case x.Weight == 0 && i >= 0:
			w.weights = slices.Delete(w.weights, i, i+1)
		case x.Weight == 0, i >= 0 && w.weights[i].Weight == x.Weight:
			continue
		case i >= 0:
			w.weights[i].Weight = x.Weight
		default:
			w.weights = append(w.weights, x)
		}
		changed = true
	}
	return did(changed)
}

func (w *twin) applyFramework(op Op) string {
	alive := func(id string) string {
		switch w.frameworks[id].state {
		case 0:
			return "unknown_framework"
		case FrameworkCompleted:
			return "completed"
		}
		return ""
	}
	move := func(id string, to FrameworkState) string {
		if code := alive(id); code != "" {
			return code
		}
		f := w.frameworks[id]
		changed := f.state != to
		f.state = to
		w.frameworks[id] = f
		return did(changed)
	}
	switch op := op.(type) {
	case AdmitFramework:
		switch alive(op.Framework.ID) {
		case "completed":
			return "completed"
		case "":
			return "already_known"
		}
		w.frameworks[op.Framework.ID] = twinFramework{FrameworkActive, op.Framework.Info, op.Framework.User}
		return "changed"
	case UpdateFramework:
		if code := alive(op.Framework.ID); code != "" {
			return code
		}
		f := w.frameworks[op.Framework.ID]
		if f.user != op.Framework.User {
			return "immutable"
		}
		changed := f.info != op.Framework.Info
		f.info = op.Framework.Info
		w.frameworks[op.Framework.ID] = f
		return did(changed)
	case ConnectFramework:
		return move(op.ID, FrameworkActive)
	case DisconnectFramework:
		return move(op.ID, FrameworkDisconnected)
	case CompleteFramework:
		if alive(op.ID) == "completed" {
			return "unchanged"
		}
		return move(op.ID, FrameworkCompleted)
	case PruneFrameworks:
		changed := false
		for _, id := range op.IDs {
			if w.frameworks[id].state == FrameworkCompleted {
				delete(w.frameworks, id)
				changed = true
			}
		}
		return did(changed)
	}
	panic(fmt.Sprintf("the twin does not know %T", op))
}

// differs compares what a State says with what the twin says.
func (w *twin) differs(s *State) error {
	agents := 0
	for a := range s.AllAgents("") {
		agents++
		want := w.agents[a.ID]
		got := twinAgent{a.Phase, a.Info, a.Drain, a.Deactivated, a.Since, a.Reason, a.By}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("agent %s is %+v, want %+v", a.ID, got, want)
		}
	}
	if agents != len(w.agents) {
		return fmt.Errorf("%d agents, want %d", agents, len(w.agents))
	}
	frameworks := 0
	for f := range s.Frameworks("") {
		frameworks++
		if got, want := (twinFramework{f.State, f.Info, f.User}), w.frameworks[f.ID]; got != want {
			return fmt.Errorf("framework %s is %+v, want %+v", f.ID, got, want)
		}
	}
	if frameworks != len(w.frameworks) {
		return fmt.Errorf("%d frameworks, want %d", frameworks, len(w.frameworks))
	}
	say := func(v any) string { return fmt.Sprintf("%+v", v) }
	var got, want []string
	for q := range s.Quotas() {
		got = append(got, say(q.Role), say(q.Guarantees), say(q.Limits))
	}
	for _, q := range w.quotas {
		want = append(want, say(q.Role), say(q.Guarantees), say(q.Limits))
	}
	for x := range s.Weights() {
		got = append(got, say(x.Role), say(x.Weight))
	}
	for _, x := range w.weights {
		want = append(want, say(x.Role), say(x.Weight))
	}
	for m := range s.Machines() {
		got = append(got, say(m.ID), say(m.Mode), say(m.Unavailability))
	}
	for _, m := range w.machines {
		want = append(want, say(m.ID), say(m.Mode), say(m.Unavailability))
	}
	for _, removed := range []bool{false, true} {
		for p := range s.Providers(removed) {
			got = append(got, p.ID)
		}
	}
	want = append(append(want, w.providers...), w.removed...)
	if schedule, ok := s.Schedule(); ok != w.scheduled || ok && len(schedule.Windows) != len(w.windows) {
		return fmt.Errorf("schedule %v %+v, want %v %+v", ok, schedule, w.scheduled, w.windows)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

// The registry agrees with its twin over random operations: every outcome, and every record after every frame.
func TestTwinAgrees(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 42))
		m, w := newScripted(), newTwin()
		for i := range 1500 {
			p := Proposal{Op: randomOp(random), By: fmt.Sprintf("by%d", random.IntN(3))}
			switch random.IntN(20) {
			case 0:
				p.RequestID = fmt.Sprintf("q%d", random.IntN(50))
			case 1:
				p.Epoch = w.epoch + uint64(random.IntN(2))
			case 2:
				p.Op = ClaimMastership{"m", `{"id":"m"}`, 1}
			}
			result, err := m.do(Head{Reign: 1}, p)
			if err != nil {
				t.Fatal(err)
			}
			got := did(result.Outcomes[0].Changed)
			if r := result.Outcomes[0].Rejection; r != nil {
				got = string(r.Code)
			}
			met[string(p.Op.Kind())+" "+got] = true
			if want := w.propose(p, m.State().Time()); got != want {
				t.Fatalf("seed %d, operation %d: %+v answered %s, want %s", seed, i, p, got, want)
			}
			if err := w.differs(m.State()); err != nil {
				t.Fatalf("seed %d, operation %d: after %+v: %v", seed, i, p, err)
			}
		}
		if err := m.consistent(); err != nil {
			t.Fatal(err)
		}
	}
	if len(met) < 60 {
		t.Errorf("only %d pairs of kind and outcome were met: the test shows too little", len(met))
	}
}
