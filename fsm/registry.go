package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/registrard/registrard/cluster-tests/planted"
)

// Registry holds the current State and moves it forward frame by frame. Apply, Snapshot and Restore belong to
// the log that drives it, one at a time; everything else may be called from any goroutine.
//
// Readers get a State that never changes, which costs the next frames a copy of each tree node that they change. So
// one is only made when somebody asks, at most one for each frame.
type Registry struct {
	current    atomic.Pointer[current]
	milestones atomic.Pointer[[]Milestone]

	texts texts         // of Apply
	turn  chan struct{} // has room for one: who uses the following holds it

	state    *State // as of the last frame applied
	last     *State // that readers were given
	broken   bool   // a frame was left half applied: last is the newest that may be read
	requests requests
	work     scratch
	agreed   uint64 // the last milestone that a checkpoint confirmed
}

// current is what readers see, and how they learn that it is no more.
type current struct {
	History
	state      atomic.Pointer[State] // nil until somebody asks
	superseded chan struct{}
}

// New returns an empty registry at index 0.
func New() *Registry {
	r := &Registry{state: newState(), last: new(State), requests: requests{}, turn: make(chan struct{}, 1)}
	r.current.Store(&current{superseded: make(chan struct{})})
	return r
}

// State returns the registry as of the last frame applied. It waits for a frame that is being applied, unless
// somebody has asked since the one before.
func (r *Registry) State() *State {
	state, _ := r.Next()
	return state
}

// Next is State, and a channel that is closed when there is a newer one.
func (r *Registry) Next() (*State, <-chan struct{}) {
	c := r.current.Load()
	if state := c.state.Load(); state != nil {
		return state, c.superseded
	}
	defer r.take()()
	c = r.current.Load()
	return r.shown(c), c.superseded
}

// History is what watchers need of State, and a channel that is closed when there is more of it. It never waits.
func (r *Registry) History() (*History, <-chan struct{}) {
	c := r.current.Load()
	return &c.History, c.superseded
}

// take waits for one's turn and returns how to end it.
func (r *Registry) take() (release func()) {
	r.turn <- struct{}{}
	return func() { <-r.turn }
}

// shown is the State that readers of c see.
func (r *Registry) shown(c *current) *State {
	if state := c.state.Load(); state != nil {
		return state
	}
	if !r.broken {
		r.last = r.state.freeze(r.last)
	}
	c.state.Store(r.last)
	return r.last
}

// publish lets readers know of the changed state.
func (r *Registry) publish() {
	last := r.current.Swap(&current{History: r.state.History, superseded: make(chan struct{})})
	close(last.superseded)
}

// Result is what one frame did.
type Result struct {
	Index    uint64
	Outcomes []Outcome // one for each proposal, in order; none of a stale frame
	// Stale: a newer reign had begun before the frame, which therefore did nothing.
	Stale bool
}

// Apply moves the registry to index. It fails on bytes that this program does not know, and no reader sees
// anything of them; this node must then stop before them. A refused operation is an Outcome.
func (r *Registry) Apply(index uint64, frame []byte) (Result, error) {
	f, err := decodeFrame(frame, &r.texts)
	if err != nil {
		return Result{}, err
	}
	defer r.take()()
	if index <= r.state.index {
		return Result{}, fmt.Errorf("index %d does not come after %d", index, r.state.index)
	}
	if err := r.compare(index, f); err != nil {
		return Result{}, err
	}
	if f.raises() {
		r.shown(r.current.Load()) // this node may have to stop before it
	}
	r.broken = true
	s, result := r.state, Result{Index: index}
	before, was := s.index, s.time
	s.index, s.time = index, max(f.At, s.time)+Time(planted.Skew())
	if f.Reign == 0 {
		s.reign = index
	}
	tx := Txn{s: s, now: s.time, index: index, limit: f.Limit, work: &r.work}
	if result.Stale = f.Reign != 0 && f.Reign != s.reign; !result.Stale {
		result.Outcomes = make([]Outcome, len(f.Proposals))
		for i := range f.Proposals {
			result.Outcomes[i] = r.apply(&tx, &f.Proposals[i], f.ops[i])
		}
	}
	if s.format > Format {
		return Result{}, fmt.Errorf("format %d begins here, and this program reads up to %d", s.format, Format)
	}
	if n := len(tx.changes); n > 0 {
		tx.changes[n-1].Last = true
		s.keepChanges(tx.changes)
	}
	s.chain = r.work.link(s, frame, result.Outcomes, tx.changes)
	r.broken = false
	r.note(f, before, was)
	r.publish()
	return result, nil
}

func (r *Registry) apply(tx *Txn, p *Proposal, op [32]byte) Outcome {
	if p.RequestID == "" {
		return tx.run(p)
	}
	if first, found := r.requests.answer(tx.s, p, op); found {
		return first
	}
	outcome := tx.run(p)
	r.requests.remember(tx.s, p.RequestID, op, outcome)
	return outcome
}

// Snapshot captures the current State, at no cost; it is written while the registry moves on.
func (r *Registry) Snapshot() (io.WriterTo, error) { return r.State().Snapshot(), nil }

// Restore replaces the State by what a Snapshot wrote. Damaged bytes are an error that leaves the State as it was.
func (r *Registry) Restore(from io.Reader) error {
	state, err := readSnapshot(from, new(scratch))
	if err != nil {
		return err
	}
	defer r.take()()
	r.state, r.last, r.broken, r.requests = state, new(State), false, make(requests, state.requests.len())
	for n := state.requests.first; n < state.requests.next; n++ {
		r.requests[state.requests.at(n).ID] = n
	}
	r.forget()
	r.publish()
	return nil
}

// scratch is the memory that hashing needs again and again.
type scratch struct {
	buf bytes.Buffer
	enc encoder
}

func (w *scratch) reset() encoder {
	if w.enc.Encoder == nil {
		w.enc = newEncoder(&w.buf)
	}
	w.buf.Reset()
	return w.enc
}

// measure encodes a record as the digest sees it.
func (w *scratch) measure(in section, r fielder) (sum, int) {
	e := w.reset()
	_ = e.EncodeUint(uint64(in)) // a bytes.Buffer takes everything
	_ = e.object(r)
	return sumOf(w.buf.Bytes()), w.buf.Len()
}

// link adds one frame to the chain.
func (w *scratch) link(s *State, frame []byte, outcomes []Outcome, changes []Change) (link [32]byte) {
	e := w.reset()
	var kept request
	for i := range outcomes {
		kept = request{Changed: outcomes[i].Changed}
		if rejection := outcomes[i].Rejection; rejection != nil {
			kept.Kind, kept.Code, kept.Reason = rejection.Kind, rejection.Code, rejection.Reason
		}
		_ = e.object(&kept)
	}
	for i := range changes {
		_ = e.object(&changes[i])
	}
	h := sha256.New()
	h.Write(s.chain[:])
	h.Write(binary.BigEndian.AppendUint64(nil, s.index))
	h.Write(frame)
	digest := s.digest()
	h.Write(digest[:])
	h.Write(w.buf.Bytes())
	h.Sum(link[:0])
	return link
}
