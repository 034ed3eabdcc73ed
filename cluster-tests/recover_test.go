package clustertests

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// command runs the program to its end and returns all that it printed.
func command(t testing.TB, args ...string) (said string, err error) {
	t.Helper()
	out, err := exec.Command(binary(t), args...).CombinedOutput()
	return string(out), err
}

// Two members of three are lost for good. The third is made a cluster of its own, by an offline command that refuses
// while the node runs and does nothing unless it is told that it must. Everything acknowledged is there, others join,
// and an old member that comes back all the same does not come into the new cluster.
func TestMajorityLostForGood(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.write(2, patience)
	w.more(50)
	w.stop()
	c.agree()
	survivor, lost := c.Nodes[0], c.Nodes[1]
	fresh := filepath.Join(t.TempDir(), "new")
	recoverArgs := []string{"recover", survivor.Dir, "--data-dir", fresh, "--raft-addr", survivor.Raft}
	if said, err := command(t, append(recoverArgs, "--majority-is-lost")...); err == nil || !strings.Contains(said, survivor.Dir) {
		t.Errorf("while the node runs: %v, %s", err, said)
	}
	for _, node := range c.Nodes {
		node.kill(t)
	}
	if said, err := command(t, recoverArgs...); err == nil || !strings.Contains(said, "Nothing was changed") {
		t.Errorf("without the word: %v, %s", err, said)
	}
	said, err := command(t, append(recoverArgs, "--majority-is-lost")...)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err := command(t, append(recoverArgs, "--majority-is-lost")...); err == nil {
		t.Errorf("it wrote over a directory: %s", said)
	}
	for i, arg := range survivor.args {
		if arg == survivor.Dir {
			survivor.args[i] = fresh
		}
	}
	survivor.Dir = fresh
	survivor.args = survivor.args[:len(survivor.args)-2] // the initial members are those of the old cluster
	survivor.restart(t)
	lost.start(t)
	c.Nodes = []*Node{survivor}
	joined := c.node("n4")
	joined.args = append(joined.args, "--join", "http://"+survivor.HTTP)
	joined.start(t)
	joined.awaitReady(t)
	c.awaitVoter("n4")
	c.agree()
	w.holds(c)
	p := c.pulse()
	p.beats(t, time.Now())
	p.stop()
	c.agree()
	if s, err := lost.status(); err == nil && s.Leader != "" {
		t.Errorf("a lost member follows %s", s.Leader)
	}
	lost.kill(t)
}
