package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/registrard/registrard/log/disk"
)

// A node with a damaged file does not start: one line names the file and how to go on, and nothing is changed.
func TestADamagedNodeSaysHowToGoOn(t *testing.T) {
	for file, args := range map[string][]string{
		"vote.db.mark":                     {"serve", "--id", "n1"},
		"vote.db":                          {"dev"},
		"log/segments":                     {"serve", "--id", "n1"},
		"identity.json":                    {"serve", "--id", "n1"},
		filepath.Join("log", "high-water"): {"dev"},
	} {
		t.Run(file, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			startNode(t, dir, "dev").end()
			path := filepath.Join(dir, file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 0x10
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errOut bytes.Buffer
			status := run(t.Context(), append(args, "--data-dir", dir, "--http-addr", "127.0.0.1:0", "--raft-addr", "127.0.0.1:0", "--log-level", "error"), nil, &out, &errOut)
			said := errOut.String()
			if status != exitFailed || strings.Count(said, "\n") != 1 {
				t.Errorf("exit status %d: %s", status, said)
			}
			for _, part := range []string{path, "nothing was changed", "NEW-DIR"} {
				if !strings.Contains(said, part) {
					t.Errorf("%q is not in %s", part, said)
				}
			}
			if args[0] == "serve" && !strings.Contains(said, "registrard members remove n1") {
				t.Errorf("how to replace the member is not in %s", said)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
}

// Whatever keeps the log, the way out that the line names is a command that there is.
func TestTheWayOutOfDamageIsACommand(t *testing.T) {
	for backend, want := range map[string]string{
		backendRaft:      "restore --id n1 --data-dir NEW-DIR BACKUP",
		backendLevelDB:   "restore --id n1 --log leveldb --data-dir NEW-DIR BACKUP",
		backendZooKeeper: "restore --id n1 --log zookeeper --zookeeper SERVERS/NEW-PATH BACKUP",
	} {
		o := serverOptions{id: "n1", dataDir: "data", backend: backend, alone: backend == backendRaft}
		said := o.healing(disk.Damaged("a-file", "flipped")).Error()
		if !strings.HasSuffix(said, "registrard "+want) || !strings.Contains(said, "a-file") {
			t.Errorf("%s: %q", backend, said)
		}
		missing := filepath.Join(t.TempDir(), "backup")
		args := strings.NewReplacer("NEW-DIR", filepath.Join(t.TempDir(), "new"), "SERVERS", "127.0.0.1:1", "BACKUP", missing).Replace(want)
		var out, errOut bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), nil, &out, &errOut); status != exitFailed || !strings.Contains(errOut.String(), missing) {
			t.Errorf("%s: exit status %d: %s", backend, status, errOut.String())
		}
	}
	if err := (serverOptions{}).healing(os.ErrPermission); err != os.ErrPermission {
		t.Errorf("no damage, and %v", err)
	}
}
