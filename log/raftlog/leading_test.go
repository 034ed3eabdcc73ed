package raftlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// slow keeps a cut-off leader in its belief for a while.
func slow(cfg *raftlog.Config) { cfg.HeartbeatTimeout = 2 * time.Second }

// depose makes n2 lead while n1, cut off, still believes that it does.
func (c *cluster) depose() {
	c.t.Helper()
	c.cuts.isolate("n1", "n2", "n3")
	c.stand("n2")
	c.leaderAmong("n2")
}

// A leader that was deposed without knowing serves no read: not those that come alone, not those that come
// together, and not with a heartbeat's answer from before.
func TestADeposedLeaderServesNoRead(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = slow
	c.startAll()
	c.lead("n1")
	c.agree(c.propose("old"))
	n1, n2 := c.members["n1"], c.members["n2"]
	if _, err := n1.ReadIndex(t.Context()); err != nil {
		t.Fatalf("a read at the leader: %v", err)
	}
	c.depose()
	if _, err := n2.Propose(t.Context(), []byte("new")); err != nil {
		t.Fatal(err)
	}
	if role := n1.Status().Role; role != log.Leader {
		t.Fatalf("n1 is %s and proves nothing: it should still believe that it leads", role)
	}
	var reading sync.WaitGroup
	for range 20 {
		reading.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			index, err := n1.ReadIndex(ctx)
			if !errors.Is(err, log.ErrNotLeader) {
				t.Errorf("read index of a deposed leader: %d, %v", index, err)
			}
		})
	}
	reading.Wait()
	if _, err := n2.ReadIndex(t.Context()); err != nil {
		t.Errorf("a read at the new leader: %v", err)
	}
}

// What a deposed leader was handed is answered "perhaps", and is gone once it hears of the new leader; what
// it is asked after that is "no".
func TestALeaderDeposedInFlightSaysPerhaps(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = slow
	c.startAll()
	reign := c.lead("n1")
	c.agree(c.propose("before"))
	n1 := c.members["n1"]
	c.depose()
	answers := make(chan error)
	for i := range 3 {
		go func() {
			_, err := n1.Propose(context.Background(), fmt.Appendf(nil, "in flight %d", i))
			answers <- err
		}()
	}
	for range 3 {
		if err := <-answers; !errors.Is(err, log.ErrUncertain) {
			t.Errorf("proposed while cut off: got %v, want perhaps", err)
		}
	}
	select {
	case <-reign.Done():
	case <-time.After(patience):
		t.Fatal("the reign did not end")
	}
	if cause := context.Cause(reign); !errors.Is(cause, log.ErrNotLeader) {
		t.Errorf("the reign ended because of %v", cause)
	}
	if _, err := n1.Propose(t.Context(), []byte("after")); !errors.Is(err, log.ErrNotLeader) || errors.Is(err, log.ErrUncertain) {
		t.Errorf("proposed after the reign: got %v, want a plain no", err)
	}
	c.cuts.heal()
	index := c.propose("new")
	if got := c.agree(index); !slices.Equal(got, []string{"before", "new"}) {
		t.Errorf("the members hold %q", got)
	}
}

// Every reign has its own context and a term of its own: going round the members twice gives six.
func TestReignsAreNeverMerged(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	terms := make(map[uint64]bool)
	var last context.Context
	for _, id := range []string{"n1", "n2", "n3", "n1", "n2", "n3"} {
		reign := c.lead(id)
		if last != nil && last.Err() == nil {
			t.Errorf("%s leads and the reign before goes on", id)
		}
		term := c.members[id].Status().Term
		if terms[term] {
			t.Errorf("two reigns in term %d", term)
		}
		terms[term], last = true, reign
	}
}

// A transfer loses nothing that is being proposed, reaches who was named, and one that fails lets proposals
// go on.
func TestTransfer(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.lead("n1")
	n1 := c.members["n1"]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n1.Transfer(ctx, "n9"); !errors.Is(err, log.ErrUnknownReplica) {
		t.Errorf("transfer to nobody: %v", err)
	}
	if err := n1.Transfer(ctx, "n1"); err != nil {
		t.Errorf("transfer to itself: %v", err)
	}
	if err := c.members["n2"].Transfer(ctx, ""); !errors.Is(err, log.ErrNotLeader) {
		t.Errorf("transfer by a follower: %v", err)
	}

	acknowledged := make(chan []string)
	go func() {
		var list []string
		for i := 0; ; i++ {
			command := fmt.Sprintf("c-%d", i)
			if _, err := n1.Propose(ctx, []byte(command)); err != nil {
				if !errors.Is(err, log.ErrNotLeader) {
					t.Errorf("%s: %v", command, err)
				}
				acknowledged <- list
				return
			}
			list = append(list, command)
		}
	}()
	eventually(t, "proposals flow", func() bool { return n1.Status().Applied > 20 })
	if err := n1.Transfer(ctx, "n3"); err != nil {
		t.Fatalf("transfer: %v", err)
	}
	list := <-acknowledged
	if l := c.leader(); l.id != "n3" {
		t.Errorf("%s leads, want n3", l.id)
	}
	if got := c.agree(c.propose("last")); !slices.Equal(got, append(list, "last")) {
		t.Errorf("%d commands were acknowledged, the members hold %d", len(list), len(got)-1)
	}

	n3 := c.members["n3"]
	c.cuts.isolate("n2", "n1", "n3")
	if _, err := n3.Propose(ctx, []byte("n2 lacks this")); err != nil {
		t.Fatal(err)
	}
	if err := n3.Transfer(ctx, "n2"); err == nil {
		t.Error("transfer to a member that is cut off succeeded")
	}
	if _, err := n3.Propose(ctx, []byte("goes on")); err != nil {
		t.Errorf("propose after a transfer that failed: %v", err)
	}
	c.cuts.heal()
}

// A fenced member, as after its disk failed, leads no longer and votes for nobody; the rest go on.
func TestAFencedLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	reign := c.lead("n1")
	c.members["n1"].peer.Fence(errors.New("as the test says"))
	l := c.leaderAmong("n2", "n3")
	if _, err := l.Propose(t.Context(), []byte("on")); err != nil {
		t.Errorf("propose at the next leader: %v", err)
	}
	select {
	case <-reign.Done():
	case <-time.After(patience):
		t.Error("the reign of the fenced leader did not end")
	}
	visitor, err := transport.Listen(transport.Config{ID: "visitor", Listen: listen(t, "127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer visitor.Close()
	if _, err := visitor.Hello(t.Context(), "n1", c.initial["n1"]); err == nil {
		t.Error("a fenced member answers")
	}
}

// Snapshots are taken by bytes; a follower that was away longer than the log reaches back is brought up by
// one, and its own restart goes on from it.
func TestAFollowerIsCaughtUpBySnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) {
		cfg.SnapshotBytes, cfg.TrailingEntries = 4<<10, 1
		slow(cfg)
	}
	c.startAll()
	c.lead("n1")
	c.agree(c.propose("first"))
	c.cuts.isolate("n3", "n1", "n2")
	for i := range 60 {
		c.propose(fmt.Sprintf("%0500d", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, id := range []string{"n1", "n2"} { // the log is kept back to the snapshot before the last
		for i := range 2 {
			c.propose(fmt.Sprintf("%s snapshot %d", id, i))
			if err := c.members[id].Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	n3 := c.members["n3"]
	c.cuts.heal()
	c.agree(c.propose("last"))
	if n3.machine.Restored() == 0 {
		t.Error("n3 has read no snapshot")
	}
	c.stop("n3")
	c.start("n3")
	c.agree(c.propose("after the restart"))
}

// A follower's log goes on, in its own way, past the snapshot that the leader sends it: raft would be sent
// it for ever (hashicorp/raft issue 697).
func TestADivergedFollowerGoesOnFromASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) {
		cfg.TrailingEntries = 1
		slow(cfg) // whoever leads must go on leading while the machine is busy with other tests
	}
	c.startAll()
	reign := c.lead("n1")
	c.agree(c.propose("common"))
	n1 := c.members["n1"]
	c.cuts.isolate("n1", "n2", "n3")
	var proposing sync.WaitGroup
	for i := range 50 { // entries that only n1 has
		proposing.Go(func() {
			if _, err := n1.Propose(context.Background(), fmt.Appendf(nil, "lost %d", i)); err == nil {
				t.Error("acknowledged without a majority")
			}
		})
	}
	proposing.Wait()
	<-reign.Done()
	l := c.leaderAmong("n2", "n3")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 3 {
		if _, err := l.Propose(ctx, fmt.Appendf(nil, "kept %d", i)); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"n2", "n3"} {
			m := c.members[id]
			eventually(t, "applied", func() bool { return m.Status().Applied == l.Status().Applied })
			if err := m.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last := n1.Status().Last; last <= l.Status().Last {
		t.Fatalf("n1 ends at %d, the others at %d: nothing is proven", last, l.Status().Last)
	}
	c.cuts.heal()
	want := []string{"common", "kept 0", "kept 1", "kept 2", "last"}
	if got := c.agree(c.propose("last")); !slices.Equal(got, want) {
		t.Errorf("the members hold %q, want %q", got, want)
	}
}

// A member that leads again at once may be asked to read before its last reign has quite ended; that one must not take
// the readers with it, who would wait for as long as the member leads.
func TestADeposedReignLeavesReadersToTheNext(t *testing.T) {
	t.Parallel()
	if !raftlog.LeavesReaders() {
		t.Error("they are gone")
	}
}
