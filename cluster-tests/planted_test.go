package clustertests

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each checker is shown a cluster with a bug that it is there to find. Without a bug the same program under the
// same faults is clean.
func TestPlantedBugsAreFound(t *testing.T) {
	program := plantedBinary(t)
	undisturbed := func(r *run) { r.more(1000) }
	// The leader is left alone with what it has not replicated yet, and has it replicated when the others are back.
	alone := func(r *run) {
		for range 5 {
			r.more(50)
			leader := r.c.leader()
			for _, node := range r.c.Nodes {
				if node != leader {
					node.signal(syscall.SIGSTOP)
				}
			}
			await(t, leader.ID+" gives up", func() error {
				if status, err := leader.status(); err != nil || status.Role == "leader" {
					return fmt.Errorf("%v, %v", status.Role, err)
				}
				return nil
			})
			for _, node := range r.c.Nodes {
				node.signal(syscall.SIGCONT)
			}
		}
		r.more(100)
	}
	// Another takes over.
	deposed := func(r *run) {
		leader := r.c.leader()
		await(t, "a hundred entries", func() error {
			status, err := leader.status()
			if err == nil && status.Index < 100 {
				err = fmt.Errorf("%d", status.Index)
			}
			return err
		})
		leader.signal(syscall.SIGSTOP)
		await(t, "another leader", func() error {
			for _, node := range r.c.Nodes {
				if status, err := node.status(); node != leader && err == nil && status.Role == "leader" {
					return nil
				}
			}
			return errors.New("nobody leads")
		})
		leader.signal(syscall.SIGCONT)
	}
	for _, c := range []struct {
		bug    string
		faults func(*run)
		by     string // the checker that must complain; empty: there is no bug, and none may
	}{
		{"", alone, ""},
		{"", deposed, ""},
		{"ack-early", undisturbed, "durability"},
		{"diverge", undisturbed, "replicas"},
		{"double-apply", undisturbed, "truth"},
		{"ignore-epoch", func(r *run) { r.more(3000) }, "fencing"},
		{"leak", undisturbed, "leak"},
		{"perhaps-is-no", alone, "truth"},
		{"stale-read", undisturbed, "real time"},
		{"stale-read", undisturbed, "linearizability"},
		{"time-travel", undisturbed, "monotonic reads"},
		{"watch-gap", undisturbed, "watch"},
		{"watch-repeat", undisturbed, "watch"},
		{"wedge", deposed, "liveness"},
	} {
		t.Run(cmp.Or(strings.TrimSuffix(c.bug+" by "+c.by, " by "), "none"), func(t *testing.T) {
			t.Parallel()
			r := options{nodes: 3, clients: 8, think: 3 * time.Millisecond, binary: program, plant: c.bug, recovery: 10 * time.Second, hasty: c.bug == "perhaps-is-no"}.start(t)
			c.faults(r)
			violations := r.settle().violations
			var by []string
			for _, v := range violations {
				if !slices.Contains(by, v.Checker) {
					by = append(by, v.Checker)
				}
			}
			switch {
			case c.by == "" && len(violations) > 0:
				t.Errorf("there is no bug, and %d violations were found, first %s", len(violations), violations[0])
			case c.by != "" && !slices.Contains(by, c.by):
				t.Errorf("found by %v, and not by %s", by, c.by)
			}
		})
	}
}
