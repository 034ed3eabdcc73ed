package raftlog_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/registrard/registrard/log/raftlog"
)

// Each time that entries at its end are deleted, because another leader has others in their place, the log goes on in
// another file, allocated whole. However often that happens, and however few commands come, the files stay few.
func TestFilesOfALogThatIsCutAgainAndAgainStayFew(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) { cfg.SegmentBytes, cfg.TrailingEntries = 0, 1 } // a snapshot is due after two files
	c.startAll()
	const rounds = 16
	for round := range rounds {
		c.lead("n1")
		n1 := c.members["n1"]
		c.cuts.isolate("n1", "n2", "n3")
		alone, err := n1.Propose(t.Context(), []byte("by n1 alone"))
		if err == nil {
			t.Fatalf("n1 alone has its command accepted: %+v", alone)
		}
		eventually(t, "another leads", func() bool { return c.leaderAmong("n2", "n3") != nil })
		c.cuts.heal()
		c.agree(c.propose(fmt.Sprint("round ", round)))
	}
	files, err := filepath.Glob(filepath.Join(raftlog.LogDir(c.dirOf("n1")), "*.wal")) // the member runs: other files come and go
	if err != nil || len(files) == 0 || len(files) > rounds/2 {
		t.Errorf("%d files after %d rounds, %v", len(files), rounds, err)
	}
	if got := c.agree(c.propose("last")); slices.Contains(got, "by n1 alone") {
		t.Errorf("the members hold %q", got)
	}
}

// A log that loses its front to a snapshot while it is appended to has not been cut: its files do not grow by that.
func TestCompactionUnderWritesIsNoGrowth(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1")
	c.adjust = func(cfg *raftlog.Config) { cfg.SegmentBytes, cfg.TrailingEntries = 0, 1 }
	c.startAll()
	c.lead("n1")
	n1 := c.members["n1"]
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	for range 4 {
		writing.Go(func() {
			for ctx.Err() == nil {
				if _, err := n1.Propose(ctx, []byte("one")); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if err := n1.Snapshot(ctx); err != nil {
			t.Fatal(err)
		}
		if grown := n1.Grown(); grown > 1<<20 {
			t.Fatalf("the log has grown by %d bytes since the last snapshot", grown)
		}
	}
}
