package liveness

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
)

// Registrar is what this package needs of a *registrar.Registrar.
type Registrar interface {
	State() *fsm.State
	View(ctx context.Context, c registrar.Consistency) (*fsm.State, error)
	Propose(ctx context.Context, ps []fsm.Proposal) (fsm.Result, error)
	Duty(name string, run func(reign context.Context) error)
	ClockFault() error
}

// Watchman knows who was heard from when, and has those marked unreachable who fell silent. It watches while
// this node leads and knows nothing outside a reign. All methods may be called from any goroutine.
type Watchman struct {
	// Set by New, read-only after.
	cfg       Config
	registrar Registrar
	logger    hclog.Logger
	due       chan struct{} // has room for one: wakes the marker

	mu       sync.Mutex
	clock    clock
	reign    context.Context // nil while this node does not lead
	turned   chan struct{}   // closed, and another one made, when a reign begins or ends
	seen     uint64          // index of the State that the next three have followed
	roll     *roll
	absences absences
	pace     pace
	settled  chan struct{} // closed once the removals under way have their outcome; nil when there are none
	claimed  map[address]chan struct{}
	removals
	counters
}

// counters is what a Watchman counted since it was made; spared is without the present reign's.
type counters struct {
	marked, heartbeats, spared, standstills uint64
}

// New makes a watchman that watches in each reign of r. Call it before r.Run.
func New(cfg Config, r Registrar) (*Watchman, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure liveness: %w", err)
	}
	cfg = cfg.withDefaults()
	w := &Watchman{
		cfg:       cfg,
		registrar: r,
		logger:    cfg.Logger.Named("liveness"),
		clock:     newClock(cfg.Now),
		due:       make(chan struct{}, 1),
		turned:    make(chan struct{}),
		claimed:   make(map[address]chan struct{}),
	}
	r.Duty("liveness", w.watch)
	r.Duty("frameworks", w.complete)
	return w, nil
}

// Lead waits until this node leads and the watchman watches. The context that it returns is the reign, under which a
// master does its own work. It fails with ctx's error.
func (w *Watchman) Lead(ctx context.Context) (reign context.Context, err error) {
	for {
		w.mu.Lock()
		turned := w.turned
		if w.watching() {
			reign = w.reign
		}
		w.mu.Unlock()
		if reign != nil {
			return reign, nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Heard is who was not recorded by a batch of heartbeats, and why. Its lists are never nil.
type Heard struct {
	Unknown     []string `json:"unknown"`     // must register
	Unreachable []string `json:"unreachable"` // must register again: they are not admitted until they do
	Gone        []string `json:"gone"`        // must stop for good
}

// Heard notes that agents are there. It never writes and never waits. Outside a reign it fails with
// log.ErrNotLeader: nothing was noted.
func (w *Watchman) Heard(ids []string) (Heard, error) {
	answer := Heard{Unknown: []string{}, Unreachable: []string{}, Gone: []string{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return answer, fmt.Errorf("note heartbeats: %w", log.ErrNotLeader)
	}
	state, now := w.look()
	for _, id := range ids {
		if w.roll.heard(id, now) {
			w.heartbeats++
			continue
		}
		agent, ok := state.Agent(id)
		switch {
		case !ok:
			answer.Unknown = append(answer.Unknown, id)
		case agent.Phase == fsm.Gone:
			answer.Gone = append(answer.Gone, id)
		default: // or still admitted, and its removal is under way
			answer.Unreachable = append(answer.Unreachable, id)
		}
	}
	return answer, nil
}

// watch is the leader's duty.
func (w *Watchman) watch(reign context.Context) error {
	w.begin(reign)
	var marker sync.WaitGroup
	marker.Go(func() { w.mark(reign) })
	defer func() {
		marker.Wait()
		w.end()
	}()
	tick := time.NewTicker(w.cfg.tick())
	defer tick.Stop()
	for {
		select {
		case <-reign.Done():
			return nil
		case <-tick.C:
			w.turn()
		}
	}
}

// begin puts every admitted agent on a new roll, with the whole window before it.
func (w *Watchman) begin(reign context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock.read()
	now, state := w.clock.now, w.registrar.State()
	w.reign, w.seen = reign, state.Index()
	w.pace = newPace(w.cfg.RemovalRate)
	w.removals = removals{}
	w.absences = make(absences)
	w.roll = newRoll(w.cfg, now)
	w.roll.reserve(state.Count(fsm.Admitted))
	w.compare(state, now)
	w.tell()
	w.logger.Info("watch began", "index", state.Index(), "agents", len(w.roll.byID), "window", w.cfg.Window)
}

func (w *Watchman) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spared += w.roll.spared
	w.reign, w.roll, w.absences = nil, nil, nil
	w.removals = removals{}
	w.tell()
}

// tell wakes those who wait for a reign to begin or end.
func (w *Watchman) tell() {
	close(w.turned)
	w.turned = make(chan struct{})
}

// turn is one tick: who has become missing or due, and may anybody be marked?
func (w *Watchman) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return
	}
	_, now := w.look()
	w.roll.turn(now)
	if w.judge(now) && w.roll.queued > 0 {
		w.wake()
	}
}

// watching says whether this node leads, as far as it knows.
func (w *Watchman) watching() bool { return w.reign != nil && w.reign.Err() == nil }

// look brings the watchman up to the present and to the newest State. Whoever decides anything looks first.
func (w *Watchman) look() (*fsm.State, time.Duration) {
	gap := w.clock.read()
	now := w.clock.now
	if gap > w.cfg.Heartbeat {
		// Stopped, starved or asleep: nobody could be heard meanwhile, so nobody was silent.
		w.standstills++
		w.roll.restart(now)
		w.logger.Warn("this process stood still or its clock jumped: every silence and window begins anew", "gap", gap)
	}
	state := w.registrar.State()
	w.follow(state, now)
	return state, now
}

// follow keeps what the watchman knows equal to what the registry says, whoever changed it.
func (w *Watchman) follow(state *fsm.State, now time.Duration) {
	if state.Index() <= w.seen {
		return
	}
	changes, ok := state.Changes(w.seen)
	w.seen = state.Index()
	if !ok { // more has happened than is kept
		w.compare(state, now)
		return
	}
	maintained := false
	for change := range changes {
		switch kind, _, _ := strings.Cut(string(change.Kind), "."); kind {
		case "agent":
			if change.Phase != fsm.Admitted.String() {
				w.roll.drop(change.ID) // a later change says so where it has come back since
				continue
			}
			if agent, there := state.Agent(change.ID); there && agent.Phase == fsm.Admitted {
				w.roll.add(agent.ID, addressIn(agent.Info), now)
			} else {
				w.roll.drop(change.ID)
			}
		case "framework":
			w.absences.note(state, change.ID, now)
		case "maintenance":
			maintained = true
		}
	}
	if maintained {
		w.roll.excuse(downIn(state))
	}
}

// compare brings the watchman up to a State without knowing what has changed.
func (w *Watchman) compare(state *fsm.State, now time.Duration) {
	for id := range w.roll.byID {
		if agent, ok := state.Agent(id); !ok || agent.Phase != fsm.Admitted {
			w.roll.drop(id)
		}
	}
	for agent := range state.Agents(fsm.Admitted, "") {
		w.roll.add(agent.ID, addressIn(agent.Info), now)
	}
	w.roll.excuse(downIn(state))
	for id := range w.absences {
		w.absences.note(state, id, now)
	}
	for framework := range state.Frameworks("") {
		w.absences.note(state, framework.ID, now)
	}
}
