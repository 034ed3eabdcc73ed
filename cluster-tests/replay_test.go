package clustertests

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz"

	"github.com/registrard/registrard/fsm"
)

// Nine years of failures of real machines are replayed to three nodes, whose leader is killed on the way. In the end,
// and at a bad day in between, exactly those agents are unreachable that the file says, on all nodes alike. The file is read
// here by another way than the program's: as intervals of minutes that are asked about one moment.
func TestNineYearsReplayed(t *testing.T) {
	t.Parallel()
	name := filepath.Join("..", "..", "shared", "data", "lanl-failures-1996-2005.csv.xz")
	nodes := readIntervals(t, name)
	c := newCluster(t, 3)
	for _, day := range []string{"1998-12-17", ""} {
		at := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		args := []string{"load", "--outages", name, "--address", strings.Join(c.addresses(), ","), "-o", "json"}
		if day != "" {
			args = append(args, "--until", day)
			at, _ = time.Parse(time.DateOnly, day)
			at = at.Add(24*time.Hour - time.Nanosecond)
		}
		load := exec.Command(binary(t), args...)
		var out, errOut strings.Builder
		load.Stdout, load.Stderr = &out, &errOut
		leader := c.leader()
		before, err := leader.status()
		if err != nil {
			t.Fatal(err)
		}
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "some of the replay", func() error {
			status, err := leader.status()
			if err == nil && status.Index < before.Index+3 {
				err = fmt.Errorf("index %d", status.Index)
			}
			return err
		})
		leader.kill(t)
		err = load.Wait()
		// What is unreachable at the end of one replay is so at the beginning of the next, and is said to be.
		if refused := decode[struct{ Rejected int }](t, []byte(out.String())).Rejected; err != nil && refused == 0 {
			t.Fatalf("until %q: %v\n%s", day, err, errOut.String())
		}
		leader.restart(t)
		c.agree()
		var want []string
		for id, intervals := range nodes {
			if intervals.covers(at) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		for _, node := range c.Nodes {
			got, admitted := slices.Sorted(maps.Keys(node.in(t, fsm.Unreachable))), len(node.agents(t))
			if !slices.Equal(got, want) || admitted != len(nodes)-len(want) {
				t.Errorf("until %q: on %s %d are admitted and these unreachable: %q; want %d and %q", day, node.ID, admitted, got, len(nodes)-len(want), want)
			}
		}
		t.Logf("until %q, over the death of %s: %d unreachable; %s", day, leader.ID, len(want), strings.TrimSpace(out.String()))
	}
}

// intervals are one node's outages.
type intervals []struct{ from, to time.Time }

// covers tells whether the node is away at a time. Records that begin within an earlier one do not count.
func (v intervals) covers(at time.Time) bool {
	away, until := false, time.Time{}
	for _, i := range v { // in the order of their beginnings
		if i.from.After(at) {
			break
		}
		if i.from.Before(until) {
			continue
		}
		until = i.to
		away = at.Before(i.to)
	}
	return away
}

func readIntervals(t *testing.T, name string) map[string]intervals {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Skipf("the trace of Los Alamos is not here: %v", err)
	}
	defer file.Close()
	text, err := xz.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]intervals{}
	for _, row := range rows[1:] {
		if row[5] == "" {
			continue
		}
		from, err := time.Parse("1/2/2006 15:04", row[16])
		if err != nil {
			t.Fatal(err)
		}
		to, err := time.Parse("1/2/2006 15:04", row[17])
		if err != nil {
			t.Fatal(err)
		}
		id := row[0] + "-" + row[5]
		nodes[id] = append(nodes[id], struct{ from, to time.Time }{from, to})
	}
	for _, v := range nodes {
		slices.SortStableFunc(v, func(a, b struct{ from, to time.Time }) int { return a.from.Compare(b.from) })
	}
	return nodes
}
