package clustertests

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every node in turn is killed with SIGKILL and restarted while clients write. All that was acknowledged is on
// every node afterwards, and all nodes have the same digest and chain.
func TestNodesKilledInTurn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(8, patience)
	w.more(50)
	for range 2 {
		for _, node := range c.Nodes {
			node.kill(t)
			w.more(50)
			node.restart(t)
			w.more(50)
		}
	}
	w.stop()
	if len(w.perhaps)+len(w.no) > 0 {
		t.Errorf("%d perhaps and %d no, though every client had time to wait", len(w.perhaps), len(w.no))
	}
	c.agree()
	w.holds(c)
}

// The leader is killed again and again under clients that give up early: what they are told is true.
func TestLeaderKilledUnderImpatientClients(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(16, 100*time.Millisecond)
	for range 4 {
		w.more(100)
		leader := c.leader()
		leader.kill(t)
		w.more(20)
		leader.restart(t)
	}
	w.stop()
	c.agree()
	w.holds(c)
}

// All nodes are killed at once, several times: what was acknowledged was on their disks.
func TestAllKilledAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(8, patience)
	for range 3 {
		w.more(100)
		for _, node := range c.Nodes {
			node.signal(syscall.SIGKILL)
		}
		for _, node := range c.Nodes {
			node.kill(t)
			node.start(t)
		}
		for _, node := range c.Nodes {
			node.awaitReady(t)
		}
	}
	w.stop()
	c.agree()
	w.holds(c)
}

// A leader that stood still while others took over has lost its reign when it wakes: nothing it acknowledges is
// missing elsewhere.
func TestLeaderPaused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(8, patience)
	for range 3 {
		w.more(50)
		leader := c.leader()
		leader.signal(syscall.SIGSTOP)
		w.more(50)
		leader.signal(syscall.SIGCONT)
	}
	w.more(50)
	w.stop()
	c.agree()
	w.holds(c)
}

// A leader that is asked to end hands leadership over and exits with 0.
func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(4, patience)
	w.more(50)
	leader := c.leader()
	if err := leader.stop(t); err != nil {
		t.Errorf("%s ended with %v", leader.ID, err)
	}
	w.more(50)
	leader.restart(t)
	w.stop()
	c.agree()
	w.holds(c)
}

// fleetFile is the real fleet where it is to be had, and how many agents it has.
func fleetFile(t *testing.T) (name string, agents int) {
	t.Helper()
	name = filepath.Join("..", "..", "shared", "data", "gpu-fleet-4278.csv")
	file, err := os.Open(name)
	if err != nil {
		t.Logf("the real fleet is not here (%v): a made one is loaded", err)
		name = filepath.Join(t.TempDir(), "fleet.csv")
		var b strings.Builder
		b.WriteString("gpu_model,gpu_capacity_num,cpu_num,node_name\n")
		for i := range 4000 {
			fmt.Fprintf(&b, "GPU-series-%d,%d,%d,node-%d\n", i%5, i%9, 32+i%128, i)
		}
		if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return name, 4000
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return name, len(rows) - 1
}
