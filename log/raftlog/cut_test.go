package raftlog_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/registrard/registrard/log/raftlog"
)

// Each time that entries at its end are deleted, because another leader has others in their place, the log goes on in
// another file, allocated whole. However often that happens, and however few commands come, the files stay few.
func TestFilesOfALogThatIsCutAgainAndAgainStayFew(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.adjust = func(cfg *raftlog.Config) { cfg.SnapshotBytes, cfg.TrailingEntries = 2<<20, 1 } // two files
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
	files := 0
	err := filepath.WalkDir(c.dirOf("n1"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".wal" {
			files++
		}
		return err
	})
	if err != nil || files > rounds/2 {
		t.Errorf("%d files after %d rounds, %v", files, rounds, err)
	}
	if got := c.agree(c.propose("last")); slices.Contains(got, "by n1 alone") {
		t.Errorf("the members hold %q", got)
	}
}
