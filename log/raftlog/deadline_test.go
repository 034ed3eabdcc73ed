package raftlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
)

// Raft's futures know no deadline (hashicorp/raft issue 498); our calls end with their context, say perhaps
// where that is so, and all end when the log closes.
func TestNoCallWaitsForEver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = slow
	c.startAll()
	c.lead("n1")
	c.agree(c.propose("before"))
	n1 := c.members["n1"]
	c.cuts.isolate("n1", "n2", "n3")

	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	last := n1.Status().Last
	answer := make(chan error)
	go func() {
		_, err := n1.Propose(ctx, []byte("without a majority"))
		answer <- err
	}()
	eventually(t, "raft has the proposal", func() bool { return n1.Status().Last > last })
	cancel(gone)
	if err := <-answer; !errors.Is(err, log.ErrUncertain) || !errors.Is(err, gone) {
		t.Errorf("proposed without a majority: got %v, want perhaps, and that the caller has gone", err)
	}

	calls := map[string]func() error{
		"Propose":   func() error { _, err := n1.Propose(context.Background(), []byte("until the end")); return err },
		"ReadIndex": func() error { _, err := n1.ReadIndex(context.Background()); return err },
		"Remove":    func() error { return n1.Remove(context.Background(), "n3") },
	}
	errs := make(chan error)
	for name, call := range calls {
		go func() {
			err := call()
			if err == nil {
				err = fmt.Errorf("%s succeeded without a majority", name)
			} else {
				err = nil
			}
			errs <- err
		}()
	}
	eventually(t, "raft has more, or leads no longer", func() bool {
		s := n1.Status()
		return s.Last > last+2 || s.Role != log.Leader
	})
	c.stop("n1")
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// Raft cannot be stopped while the machine, or the disk, stands still. Starting it again, as after a snapshot,
// then ends the member, and Close returns.
func TestCloseEndsThoughRaftDoesNotStop(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	c.agree(c.propose("before"))
	n2 := c.members["n2"]
	held, release := n2.machine.Hold()
	c.propose("held")
	<-held
	n2.Reopen()
	select {
	case <-n2.Done():
	case <-time.After(patience):
		t.Fatal("n2 goes on though raft does not stop")
	}
	delete(c.members, "n2")
	if err := n2.Close(); err == nil {
		t.Error("closed well, though raft did not stop")
	}
	if err := n2.Err(); !errors.Is(err, log.ErrHalted) {
		t.Errorf("halted because of %v", err)
	}
	release()
	eventually(t, "the stores are let go", func() bool { return n2.CloseStores() == nil })
	c.start("n2")
	c.agree(c.propose("after"))
}

// A target that never answers costs a transfer its deadline and nothing else: the leader goes on proposing, and
// may try again (hashicorp/raft issue 696 leaves a leader that refuses everything).
func TestATransferThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	reign := c.lead("n1")
	c.agree(c.propose("before"))
	n1 := c.members["n1"]
	release := c.cuts.holdTimeoutNow()
	transferred := make(chan error)
	go func() { transferred <- n1.Transfer(context.Background(), "n2") }()
	select {
	case err := <-transferred:
		if err == nil {
			t.Error("transferred, though nobody was told")
		}
	case <-time.After(patience):
		t.Fatal("the transfer waits for ever")
	}
	if reign.Err() == nil { // it may have moved by itself on a slow machine
		if _, err := n1.Propose(t.Context(), []byte("goes on")); err != nil && reign.Err() == nil {
			t.Errorf("propose after the transfer: %v", err)
		}
	}
	release()
	c.lead("n2")
	c.agree(c.propose("after"))
}
