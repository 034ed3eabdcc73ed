package raftlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/log/raftlog"
)

// A member whose snapshots fail goes on, and closes when it is told to though a snapshot is still due.
func TestCloseWhileSnapshotsFail(t *testing.T) {
	t.Parallel()
	said := make(chan string, 100)
	c := newCluster(t, "n1")
	c.adjust = func(cfg *raftlog.Config) {
		cfg.SnapshotBytes = 1 << 10
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: lineWriter(said)})
	}
	c.startAll()
	c.leader()
	dir := filepath.Join(c.dirOf("n1"), "snapshots")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c.propose(strings.Repeat("x", 1<<10))
	}
	for line := range said {
		if strings.Contains(line, "snapshot failed") {
			break
		}
	}
	c.stop("n1")
}

// lineWriter passes on what is logged, as long as there is room.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}
