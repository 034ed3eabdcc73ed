package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/registrard/registrard/log/zklog/zktest"
)

// A registry moves from one backend to the next by backups and says the same all the way. ROUNDTRIP_AGENTS=50000 makes
// it a large one.
func TestRoundTrip(t *testing.T) {
	roundTrip(t, map[string][]string{}, backendLevelDB, backendRaft, backendLevelDB, backendRaft)
}

// The same by a ZooKeeper server.
func TestRoundTripByZooKeeper(t *testing.T) {
	where := zktest.Start(t, 1).Addresses()[0]
	roundTrip(t, map[string][]string{backendZooKeeper: {"--zookeeper", where + "/round/trip"}}, backendZooKeeper, backendLevelDB, backendRaft)
}

// roundTrip goes from a new registry on Raft over backends; flags are what each needs beside a directory.
func roundTrip(t *testing.T, flags map[string][]string, backends ...string) {
	agents := 2000
	if n, err := strconv.Atoi(os.Getenv("ROUNDTRIP_AGENTS")); err == nil {
		agents = n
	}
	dir := t.TempDir()
	n := startNode(t, filepath.Join(dir, "first"), "dev")
	status, out, errOut := n.command(story(agents), "op", "--file", "-")
	if status != exitDone {
		t.Fatal(out, errOut)
	}
	if _, out, _ := n.command("", "registry"); !strings.Contains(out, fmt.Sprintf("%d admitted, 100 unreachable, 100 gone", agents-200)) {
		t.Fatal(out)
	}
	digest := digestOf(t, n)
	began := time.Now()
	for hop, backend := range backends {
		name := fmt.Sprintf("hop-%d-%s", hop, backend)
		file, to := filepath.Join(dir, name+".backup"), filepath.Join(dir, name)
		if status, out, errOut := n.command("", "backup", file); status != exitDone || !strings.Contains(out, digest) {
			t.Fatalf("backup: %d\n%s%s", status, out, errOut)
		}
		from := n.dir
		if status := n.end(); status != exitDone {
			t.Fatal(n.out)
		}
		for _, what := range []string{from, file} {
			if status, out, errOut := offline("inspect", what); status != exitDone || !strings.Contains(out, digest) {
				t.Fatalf("inspect %s: %d\n%s%s", what, status, out, errOut)
			}
		}
		restore := append([]string{"restore", file, "--id", "n1", "--data-dir", to, "--log", backend, "--raft-addr", "127.0.0.1:0"}, flags[backend]...)
		if status, out, errOut := offline(restore...); status != exitDone || !strings.Contains(out, digest) {
			t.Fatalf("restore: %d\n%s%s", status, out, errOut)
		}
		if status, _, errOut := offline(restore...); status != exitFailed || !strings.Contains(errOut, "is not empty") {
			t.Errorf("restore again: %d %s", status, errOut)
		}
		n = startNode(t, to, append([]string{"serve", "--id", "n1", "--log", backend}, flags[backend]...)...)
		if got := digestOf(t, n); got != digest {
			t.Fatalf("%s: digest %s, was %s", name, got, digest)
		}
		if status, _, errOut := n.command("", "op", "agent.drain", "id=a00000"); status != exitDone {
			t.Fatalf("%s: it cannot be written: %s", name, errOut)
		}
		if status, _, errOut := n.command("", "op", "agent.reactivate", "id=a00000"); status != exitDone || digestOf(t, n) != digest {
			t.Fatalf("%s: %s", name, errOut)
		}
	}
	t.Logf("%d agents round %d backends in %s", agents, len(backends), time.Since(began).Round(time.Millisecond))
}

// offline runs a command that talks to nobody.
func offline(args ...string) (status int, out, errOut string) {
	var o, e bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

// story is operations that leave something of everything in a registry.
func story(agents int) string {
	var b strings.Builder
	for i := range agents {
		fmt.Fprintf(&b, `{"kind":"agent.admit","args":{"agent":{"id":"a%05d","hostname":"host-%d","resources":[{"name":"cpus","scalar":{"value":%d}}],"attributes":[{"name":"rack","text":{"value":"r%d"}}]}}}`+"\n", i, i, i%64+1, i%40)
	}
	for i := range 100 {
		fmt.Fprintf(&b, `{"kind":"agent.unreachable","args":{"id":"a%05d","reason":"power"}}`+"\n", i+100)
		fmt.Fprintf(&b, `{"kind":"agent.gone","args":{"id":"a%05d","reason":"scrapped"}}`+"\n", i+200)
		fmt.Fprintf(&b, `{"kind":"agent.drain","args":{"id":"a%05d","max_grace_period":"%dm"}}`+"\n", i+150, i+1)
		fmt.Fprintf(&b, `{"kind":"quota.update","args":{"quotas":[{"role":"role-%d","guarantees":{"cpus":%d},"limits":{"cpus":%d}}]}}`+"\n", i, i+1, 2*i+2)
		fmt.Fprintf(&b, `{"kind":"weights.update","args":{"weights":[{"role":"role-%d","weight":%d.5}]}}`+"\n", i, i+1)
		fmt.Fprintf(&b, `{"kind":"provider.admit","args":{"provider":{"id":"p%d","type":"t","name":"n"}}}`+"\n", i)
		fmt.Fprintf(&b, `{"kind":"framework.admit","args":{"framework":{"id":"f%d","name":"f","user":"u","failover_timeout":"1h"}}}`+"\n", i)
	}
	b.WriteString(`{"kind":"framework.disconnected","args":{"id":"f1"}}
{"kind":"framework.complete","args":{"id":"f2","reason":"torn down"}}
{"kind":"provider.remove","args":{"id":"p1"}}
{"kind":"maintenance.schedule","args":{"windows":[{"machines":[{"hostname":"host-1"},{"hostname":"host-2"}],"unavailability":{"start":"2026-12-01T00:00:00Z","duration":"2h"}}]}}
{"kind":"maintenance.start","args":{"machines":[{"hostname":"host-1"}]}}
`)
	return b.String()
}

// What is not a whole backup is neither written nor restored, and a damaged directory is named with exit status 1.
func TestBadBackups(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, filepath.Join(dir, "data"), "dev")
	if status, _, errOut := n.command(`{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h"}}}`, "op", "--file", "-"); status != exitDone {
		t.Fatal(errOut)
	}
	good := filepath.Join(dir, "good")
	if status, out, errOut := n.command("", "backup", good, "-o", "json"); status != exitDone || !regexp.MustCompile(`"admitted":1,.*`).MatchString(out) {
		t.Fatal(out, errOut)
	}
	if status, _, errOut := n.command("", "backup", filepath.Join(dir, "nowhere", "b")); status != exitFailed || !strings.Contains(errOut, "no such file") {
		t.Errorf("into nowhere: %d %s", status, errOut)
	}
	if status, _, errOut := offline("inspect", n.dir); status != exitFailed || !strings.Contains(errOut, "in use by another process") {
		t.Errorf("inspect a node that runs: %d %s", status, errOut)
	}
	n.end()
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad, to := filepath.Join(dir, "bad"), filepath.Join(dir, "to")
	for at := 0; at < len(content); at += max(1, len(content)/50) {
		hurt := slices.Clone(content)
		hurt[at] ^= 4
		for what, b := range map[string][]byte{"flipped": hurt, "cut": content[:at]} {
			if err := os.WriteFile(bad, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"restore", bad, "--id", "n1", "--data-dir", to}, {"inspect", bad}} {
				if status, _, errOut := offline(args...); status != exitFailed || !strings.Contains(errOut, bad) || strings.Count(errOut, "\n") != 1 {
					t.Errorf("%s at byte %d: %s: %d %s", what, at, args[0], status, errOut)
				}
			}
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a bad backup has left a directory")
	}
	vote := filepath.Join(n.dir, "vote.db")
	if err := os.Truncate(vote, 100); err != nil {
		t.Fatal(err)
	}
	if status, _, errOut := offline("inspect", n.dir); status != exitFailed || !strings.Contains(errOut, "damaged") || !strings.Contains(errOut, n.dir) {
		t.Errorf("inspect a damaged directory: %d %s", status, errOut)
	}
	for _, args := range [][]string{
		{"restore"}, {"restore", good}, {"restore", good, "--id", "n1"}, {"restore", good, "--id", "n1", "--data-dir", to, "--log", "memory"}, {"inspect"}, {"backup"},
		{"inspect", good, "-o", "xml"},
	} {
		if status, _, errOut := offline(args...); status != exitUsage {
			t.Errorf("%q: %d %s", args, status, errOut)
		}
	}
}
