package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// replica applies what it is given, but for one index at which it reads something else.
type replica struct {
	*Registry
	t       *testing.T
	parting uint64
}

func (r *replica) apply(index uint64, op Op) error {
	r.t.Helper()
	if index == r.parting {
		op = RemoveAgent{"nobody"}
	}
	reign := uint64(1)
	if index == 1 {
		reign = 0
	}
	frame, err := EncodeFrame(reign, time.Unix(1_000_000, 0), Proposal{Op: op})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.Apply(index, frame)
	return err
}

func (r *replica) through(from, to uint64) {
	r.t.Helper()
	for index := from; index <= to; index++ {
		if err := r.apply(index, UpdateWeights{[]Weight{{Role: "r", Weight: float64(index)}}}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// A replica that read one frame in another way stops before the first checkpoint after it: as it is, from its own
// snapshot, and replayed from the start, and says between which indexes it parted. Nobody sees that checkpoint of it.
func TestAReplicaThatPartedHalts(t *testing.T) {
	good, bad := &replica{New(), t, 0}, &replica{New(), t, 150}
	for _, r := range []*replica{good, bad} {
		r.through(1, 130)
	}
	latest := func() Op {
		kept := good.Milestones()
		return Checkpoint(kept[len(kept)-1])
	}
	first := latest()
	for _, r := range []*replica{good, bad} {
		if err := r.apply(131, first); err != nil {
			t.Fatalf("before they part: %v", err)
		}
		r.through(132, 200)
	}
	var image bytes.Buffer
	if _, err := bad.State().Snapshot().WriteTo(&image); err != nil {
		t.Fatal(err)
	}
	restored := &replica{New(), t, 0}
	if err := restored.Restore(&image); err != nil {
		t.Fatal(err)
	}
	second := latest()
	if err := good.apply(201, second); err != nil {
		t.Fatal(err)
	}
	var parted *Diverged
	if err := bad.apply(201, second); !errors.As(err, &parted) || parted.Index != 192 || parted.Agreed != 128 || parted.Recorded != 201 {
		t.Errorf("got %v, want that it parted between 128 and 192", err)
	}
	if index := bad.State().Index(); index != 200 {
		t.Errorf("it shows index %d", index)
	}
	// The snapshot is of a later index than that checkpoint, and the next one finds it.
	if err := restored.apply(201, second); err != nil {
		t.Errorf("restored, at a checkpoint of what it did not see: %v", err)
	}
	good.through(202, 260)
	restored.through(202, 260)
	if err := restored.apply(261, latest()); !errors.As(err, &parted) || parted.Index != 256 {
		t.Errorf("restored: got %v, want that it differs at 256", err)
	}
	replayed := &replica{New(), t, 150}
	replayed.through(1, 130)
	if err := replayed.apply(131, first); err != nil {
		t.Fatal(err)
	}
	replayed.through(132, 200)
	if err := replayed.apply(201, second); !errors.As(err, &parted) || parted.Agreed != 128 {
		t.Errorf("replayed: %v", err)
	}
}

// Milestones come every 64 indexes and with each minute, few are kept, and a checkpoint is the reason for none.
func TestMilestones(t *testing.T) {
	r := &replica{New(), t, 0}
	r.through(1, 127)
	if err := r.apply(128, Checkpoint{2, (&State{}).Chain()}); err != nil {
		t.Fatal(err)
	}
	r.through(129, 64*40)
	kept := r.Milestones()
	if len(kept) != milestonesKept || kept[len(kept)-1] != (Milestone{64 * 40, r.State().Chain()}) {
		t.Errorf("%d milestones, the last %v", len(kept), kept[len(kept)-1])
	}
	fresh := &replica{New(), t, 0}
	var indexes []uint64
	for i, at := range []int64{0, 10, 59, 60, 61, 121} {
		frame, err := EncodeFrame(0, time.Unix(1_000_000_020+at, 0), Proposal{Op: ForgetMember{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fresh.Apply(uint64(i+1), frame); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range fresh.Milestones() {
		indexes = append(indexes, m.Index)
	}
	if got := fmt.Sprint(indexes); got != "[1 4 6]" {
		t.Errorf("milestones at %s", got)
	}
}
