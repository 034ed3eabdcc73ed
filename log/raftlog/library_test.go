package raftlog_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// What the library gets wrong, by schedules that show it on bare nodes, and the same schedules without what we
// keep from it. They are to be run against every version of the library: one that breaks no more may say that
// a guard of ours can go.

// hashicorp/raft issue 695. A stands in term 2; the vote that makes it leader is late. C wins term 3 meanwhile,
// and its heartbeat raises A's term past A's main loop, slowly, while that loop counts the late vote.
func TestTwoLeadersInATermByTheFastPath(t *testing.T) {
	for _, c := range []struct {
		name     string
		fastPath bool
	}{{"the library", true}, {"as our Peer does", false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { twoLeaders(t, c.fastPath) })
		})
	}
}

func twoLeaders(t *testing.T, fastPath bool) {
	lateVote, slowDisk := make(chan struct{}), make(chan struct{})
	var partedFromC atomic.Bool // b hears c no more
	w := &wires{fastPath: fastPath, pass: func(from, to raft.ServerID, args any, answered bool) error {
		entries, isEntries := args.(*raft.AppendEntriesRequest)
		switch {
		case from == "a" && to == "b" && answered && !isEntries:
			<-lateVote
		case from == "a" && to == "c":
			return errLost
		case from == "c" && to == "a" && (!isEntries || entries.PrevLogEntry != 0):
			return errLost // heartbeats alone get through
		case from == "c" && to == "b" && partedFromC.Load():
			return errLost
		}
		return nil
	}}
	notify := map[string]chan bool{}
	if fastPath {
		notify["a"] = make(chan bool) // its receiver is slow; our configuration sets none
	}
	nodes := bareNodes(t, w, notify)
	defer stopNodes(t, w, nodes)
	a, b, leader := nodes["a"], nodes["b"], nodes["c"]
	a.terms.mu.Lock()
	a.terms.hold[3] = slowDisk
	a.terms.mu.Unlock()

	a.stand(t)
	leader.stand(t) // wins term 3 with b
	if state, term := leader.State(), leader.CurrentTerm(); state != raft.Leader || term != 3 {
		t.Fatalf("c is %s in term %d: the schedule has moved", state, term)
	}
	if err := leader.Apply([]byte("c's"), 0).Error(); err != nil {
		t.Fatal(err)
	}
	verified := leader.VerifyLeader() // sends heartbeats now
	synctest.Wait()
	close(lateVote)
	synctest.Wait()
	close(slowDisk)
	synctest.Wait()
	if err := verified.Error(); err != nil {
		t.Fatal(err)
	}
	partedFromC.Store(true)
	if !fastPath {
		if state := a.State(); state != raft.Follower {
			t.Errorf("a is %s in term %d, which c leads", state, a.CurrentTerm())
		}
		return
	}
	<-notify["a"]
	synctest.Wait()
	if a.State() != raft.Leader || leader.State() != raft.Leader || a.CurrentTerm() != 3 {
		t.Fatalf("a is %s in term %d, c %s: the library has been mended, or the schedule has moved", a.State(), a.CurrentTerm(), leader.State())
	}
	forked := a.Apply([]byte("a's"), 0)
	if err := forked.Error(); err != nil {
		t.Fatal(err)
	}
	if index := forked.Index(); a.tape.at(index) == b.tape.at(index) {
		t.Errorf("both hold %q at %d: two leaders, and no harm done", a.tape.at(index), index)
	}
	go func() { // so that a can step down
		for range notify["a"] {
		}
	}()
	t.Cleanup(func() { close(notify["a"]) })
}

// raft.VerifyLeader confirms whoever asks before the answers of a round are in, also who came after it was sent:
// a leader that was deposed in between is told that it leads. Our reads do not ask it (read.go).
func TestVerifyLeaderConfirmsADeposedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan struct{})
		var held, parted atomic.Bool
		w := &wires{pass: func(from, to raft.ServerID, _ any, answered bool) error {
			switch {
			case from == "a" && answered && held.Load():
				<-answers
			case (from == "a" || to == "a") && parted.Load():
				return errLost
			}
			return nil
		}}
		nodes := bareNodes(t, w, nil)
		defer stopNodes(t, w, nodes)
		deposed, leader := nodes["a"], nodes["c"]
		deposed.stand(t)
		if err := deposed.Apply([]byte("old"), 0).Error(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		held.Store(true)
		first := deposed.VerifyLeader()
		synctest.Wait() // its heartbeats are answered, and the answers are on their way
		parted.Store(true)
		leader.stand(t)
		written := leader.Apply([]byte("new"), 0)
		if err := written.Error(); err != nil {
			t.Fatal(err)
		}
		second := deposed.VerifyLeader()
		synctest.Wait()
		close(answers)
		if err := first.Error(); err != nil {
			t.Errorf("who asked before: %v", err)
		}
		if err := second.Error(); err != nil {
			t.Fatalf("who asked after is told %v: the library has been mended, or the schedule has moved", err)
		}
		if deposed.tape.at(written.Index()) != "" {
			t.Error("the deposed leader has what the new one wrote, and proves nothing")
		}
	})
}
