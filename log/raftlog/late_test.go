package raftlog_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/raftlog"
)

// lingering is a machine whose next snapshot takes as long to write as the test likes.
type lingering struct {
	*logtest.Machine
	once    sync.Once
	writing chan struct{} // closed once it is being written
	finish  chan struct{} // until this is closed
}

func (m *lingering) Snapshot() (io.WriterTo, error) {
	image, err := m.Machine.Snapshot()
	m.once.Do(func() { image = &slowImage{image, m} })
	return image, err
}

type slowImage struct {
	io.WriterTo
	machine *lingering
}

func (i *slowImage) WriteTo(w io.Writer) (int64, error) {
	close(i.machine.writing)
	<-i.machine.finish
	return i.WriterTo.WriteTo(w)
}

// A follower's own snapshot is finished only after one of the leader's, of a later index, was installed: raft then
// believes the older one to be the newest. The follower goes on all the same, and so does its restart.
func TestASnapshotFinishedAfterALaterOneWasInstalled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) { cfg.TrailingEntries = 1 }
	late := &lingering{writing: make(chan struct{}), finish: make(chan struct{})}
	finish := sync.OnceFunc(func() { close(late.finish) })
	defer finish()
	c.wrap = func(id string, m *logtest.Machine) log.StateMachine[result] {
		if id != "n3" {
			return m
		}
		late.Machine = m
		return late
	}
	c.startAll()
	c.lead("n1")
	c.agree(c.propose("first"))
	n3 := c.members["n3"]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	finished := make(chan error, 1)
	go func() { finished <- n3.Snapshot(ctx) }()
	<-late.writing
	c.cuts.isolate("n3", "n1", "n2")
	want := []string{"first"}
	say := func(command string) uint64 {
		want = append(want, command)
		return c.propose(command)
	}
	for i := range 3 { // the log is kept back to the snapshot before the last
		index := say(fmt.Sprintf("n3 lacks %d", i))
		for _, id := range []string{"n1", "n2"} {
			m := c.members[id]
			eventually(t, "applied", func() bool { return m.Status().Applied >= index })
			if err := m.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.cuts.heal()
	c.agree(say("installed"))
	if n3.machine.Restored() == 0 {
		t.Fatal("n3 was caught up without a snapshot, and nothing is proven")
	}
	finish()
	if err := <-finished; err != nil {
		t.Logf("the late snapshot: %v", err)
	}
	c.agree(say("after"))
	c.stop("n3")
	c.start("n3")
	if got := c.agree(say("after the restart")); !slices.Equal(got, want) {
		t.Errorf("the members hold %q, want %q", got, want)
	}
}
