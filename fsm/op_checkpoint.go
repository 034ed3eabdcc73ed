package fsm

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// Checkpoint says what the chain is after the frame at an index, by the word of a majority of the members. It
// changes nothing; a node whose own chain was another stops before it, with *Diverged.
type Checkpoint struct {
	Index uint64 `json:"index"`
	Chain string `json:"chain"`
}

// Kind is member.checkpoint.
func (Checkpoint) Kind() Kind                { return "member.checkpoint" }
func (op *Checkpoint) fields(to []any) []any { return append(to, &op.Index, &op.Chain) }

func (op Checkpoint) check() error {
	if b, err := hex.DecodeString(op.Chain); err != nil || len(b) != len(State{}.chain) {
		return fmt.Errorf("chain %q is not %d bytes in hex", op.Chain, len(State{}.chain))
	}
	return nil
}

func (op Checkpoint) apply(*Txn) (bool, error) { return false, nil }

// Diverged is why a node must not go on: from the same frames it made something else than the majority did.
type Diverged struct {
	Index    uint64 // where it was compared
	Chain    string // of the majority
	Own      string
	Agreed   uint64 // the last index before at which this node is known to have agreed since it started; 0: none
	Recorded uint64 // index of the checkpoint that says so
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("this node's registry differs from that of a majority: after index %d its chain is %s, theirs %s "+
		"(checkpoint at index %d; it parted after index %d). Keep a copy of its directory; it may be started again once, and "+
		"where it stops again remove it and let it join under a new id with an empty directory", d.Index, d.Own, d.Chain, d.Recorded, d.Agreed)
}

// Milestone is the chain after one frame.
type Milestone struct {
	Index uint64 `json:"index"`
	Chain string `json:"chain"`
}

const (
	// milestoneEvery indexes, and with the first frame of each minute, replicas note their chain.
	milestoneEvery  = 64
	milestoneMinute = Time(60e9)
	// milestonesKept bounds how far apart two replicas may be and still be compared.
	milestonesKept = 32
)

// Milestones are the last chains that were noted here, oldest first. All replicas note theirs at the same
// indexes. It may be called from any goroutine and never waits; callers must not modify the result.
func (r *Registry) Milestones() []Milestone {
	if kept := r.milestones.Load(); kept != nil {
		return *kept
	}
	return nil
}

// Testimony implements log.Witness: the milestones, for ReadTestimony.
func (r *Registry) Testimony() []byte {
	b, err := json.Marshal(r.Milestones())
	if err != nil {
		panic(err) // numbers and hex digits
	}
	return b
}

// ReadTestimony reads what a Registry testified.
func ReadTestimony(b []byte) (milestones []Milestone, err error) {
	err = json.Unmarshal(b, &milestones)
	return milestones, err
}

// note keeps the chain where the frame reaches a milestone; before is the index of the frame before it, and was its
// time. Checkpoints alone reach none, or each would be the reason for another.
func (r *Registry) note(f *Frame, before uint64, was Time) {
	s := r.state
	if s.index/milestoneEvery == before/milestoneEvery && s.time/milestoneMinute == was/milestoneMinute {
		return
	}
	if len(f.Proposals) > 0 && !slices.ContainsFunc(f.Proposals, func(p Proposal) bool { return p.Op.Kind() != Checkpoint{}.Kind() }) {
		return
	}
	kept := r.Milestones()
	kept = append(slices.Clone(kept[max(0, len(kept)+1-milestonesKept):]), Milestone{s.index, s.Chain()})
	r.milestones.Store(&kept)
}

// forget drops the milestones of a State that was replaced.
func (r *Registry) forget() {
	r.milestones.Store(&[]Milestone{{r.state.index, r.state.Chain()}})
	r.agreed = 0
}

// compare fails when a checkpoint in the frame at index contradicts a milestone.
func (r *Registry) compare(index uint64, f *Frame) error {
	if f.Reign != 0 && f.Reign != r.state.reign {
		return nil // it will do nothing
	}
	for i := range f.Proposals {
		op, ok := f.Proposals[i].Op.(Checkpoint)
		if !ok {
			continue
		}
		for _, m := range r.Milestones() {
			if m.Index != op.Index {
				continue
			}
			if m.Chain != op.Chain {
				return &Diverged{Index: m.Index, Chain: op.Chain, Own: m.Chain, Agreed: r.agreed, Recorded: index}
			}
			r.agreed = m.Index
		}
	}
	return nil
}
