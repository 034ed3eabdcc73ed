package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/registrard/registrard/cmd/registrard/bench"
)

// A cluster that bench starts is processes of this program, which in a test is the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bench.NodeCommand {
		main()
	}
	os.Exit(m.Run())
}

// quick is a measurement that says nothing but that it works.
var quick = []string{"bench", "--agents", "300", "--callers", "1,4", "--batch", "1,10", "--watchers", "3", "--duration", "200ms", "--warm-up", "0s", "-o", "json"}

// benched reads the rows that were printed, and fails where one measured nothing.
func benched(t *testing.T, out string) (rows []bench.Row) {
	t.Helper()
	for line := range strings.Lines(out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if row.Count == 0 || row.P50 <= 0 || row.Errors > 0 {
			t.Errorf("a row that measured nothing: %s", line)
		}
		rows = append(rows, row)
	}
	return rows
}

func names(rows []bench.Row) (names []string) {
	for _, row := range rows {
		if !slices.Contains(names, row.Name) {
			names = append(names, row.Name)
		}
	}
	return names
}

// A cluster is measured and left as it was found; one that holds agents is not touched unless that is asked for.
func TestBenchLeavesNothingBehind(t *testing.T) {
	n := startNode(t, filepath.Join(t.TempDir(), "data"), "dev")
	status, out, errOut := n.command("", quick...)
	if status != exitDone {
		t.Fatalf("bench: %d, %s", status, errOut)
	}
	if got := names(benched(t, out)); !slices.Equal(got, bench.Names()) {
		t.Errorf("rows %v, not %v", got, bench.Names())
	}
	agents := func() string {
		_, out, _ := n.command("", "agents", "-o", "json")
		return out
	}
	if left := agents(); left != "" {
		t.Fatalf("left behind: %s", left)
	}

	if status, _, errOut := n.command("", "op", "agent.admit", "agent.id=mine", "agent.hostname=h"); status != exitDone {
		t.Fatal(errOut)
	}
	status, out, errOut = n.command("", quick...)
	if status != exitFailed || out != "" || !strings.Contains(errOut, "holds 1 agents") {
		t.Errorf("a registry in use: %d, %q, %q", status, out, errOut)
	}
	status, out, errOut = n.command("", append(slices.Clone(quick), "--force", "--rows", "writes,reads")...)
	if status != exitDone || len(benched(t, out)) != 8 {
		t.Errorf("with --force: %d, %q, %q", status, out, errOut)
	}
	if left := agents(); strings.Count(left, "\n") != 1 || !strings.Contains(left, `"mine"`) {
		t.Errorf("left behind: %s", left)
	}
}

// A cluster of its own is measured by every row and removed.
func TestBenchOfItsOwnCluster(t *testing.T) {
	dir := t.TempDir()
	rows := append(bench.Names(), "embedded", "size", "memory", "snapshot", "restart", "rejoin")
	args := append(slices.Clone(quick), "--nodes", "3", "--dir", dir, "--rows", strings.Join(rows, ","), "--profile", filepath.Join(dir, "profiles"))
	var out, errOut bytes.Buffer
	if status := run(t.Context(), args, strings.NewReader(""), &out, &errOut); status != exitDone {
		t.Fatalf("bench: %d, %s", status, &errOut)
	}
	if got := names(benched(t, out.String())); !slices.Equal(got, rows) {
		t.Errorf("rows %v, not %v", got, rows)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind beside the profiles: %v, %v", left, err)
	}
}

func TestBenchRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{
		{"--rows", "writes,speed"},
		{"--rows", "mesos"},
		{"--nodes", "3", "--address", "127.0.0.1:7050"},
		{"--agents", "10", "--callers", "64"},
		{"--callers", "0"},
		{"--duration", "1ns"},
		{"--watchers", "0"},
	} {
		var out, errOut bytes.Buffer
		if status := run(context.Background(), append([]string{"bench"}, args...), strings.NewReader(""), &out, &errOut); status != exitUsage || strings.Count(errOut.String(), "\n") != 2 {
			t.Errorf("%v: %d, %s", args, status, &errOut)
		}
	}
}
