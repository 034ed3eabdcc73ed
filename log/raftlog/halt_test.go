package raftlog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The leader's disk breaks under proposals: the member halts and says why, the others go on, raft does not
// take the process along, and what was acknowledged is there when the member is started again.
func TestABrokenDiskHaltsTheMember(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	reign := c.lead("n1")
	n1 := c.members["n1"]
	var (
		proposing sync.WaitGroup
		mu        sync.Mutex
		said      = make(map[string]error)
	)
	for p := range 4 {
		proposing.Go(func() {
			for i := 0; n1.Err() == nil; i++ {
				command := fmt.Sprintf("p%d-%d", p, i)
				_, err := n1.Propose(t.Context(), []byte(command))
				mu.Lock()
				said[command] = err
				mu.Unlock()
			}
		})
	}
	eventually(t, "proposals flow", func() bool { return n1.Status().Applied > 20 })
	gone := errors.New("the disk is gone")
	n1.BreakDisk(gone)
	proposing.Wait()
	select {
	case <-reign.Done():
	case <-time.After(patience):
		t.Fatal("the reign did not end")
	}
	if err := n1.Err(); !errors.Is(err, log.ErrHalted) || !errors.Is(err, gone) {
		t.Errorf("halted because of %v", err)
	}
	if err := n1.StoreTerm(1000); !errors.Is(err, gone) {
		t.Errorf("a term was stored on a broken disk: %v", err)
	}
	c.stop("n1")
	c.propose("on")
	c.start("n1")
	commands := c.agree(c.propose("back"))
	for command, err := range said {
		there := slices.Contains(commands, command)
		if err == nil && !there {
			t.Errorf("%s was acknowledged and is not there", command)
		}
		if err != nil && !errors.Is(err, log.ErrUncertain) && there {
			t.Errorf("%s was answered with a no (%v) and is there", command, err)
		}
	}
}

// Everything wrong with a configuration is said at once.
func TestConfigValidate(t *testing.T) {
	t.Parallel()
	err := raftlog.Config{
		InitialMembers:   map[string]string{"n2": "127.0.0.1:1"},
		HeartbeatTimeout: time.Millisecond,
		MaxCommand:       1 << 30,
	}.Validate()
	for _, part := range []string{"no member id", "no directory", "no transport", "heartbeat", "largest command", "not among them"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}
