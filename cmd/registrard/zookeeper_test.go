package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/registrard/registrard/log/zklog/zktest"
)

// What restore and inspect say of an ensemble, from a user's side.
func TestZooKeeperOffline(t *testing.T) {
	where := zktest.Start(t, 1).Addresses()[0]
	dir := t.TempDir()
	n := startNode(t, filepath.Join(dir, "n1"), "serve", "--id", "n1", "--log", "zookeeper", "--zookeeper", where+"/first")
	if status, _, errOut := n.command(`{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h"}}}`, "op", "--file", "-"); status != exitDone {
		t.Fatal(errOut)
	}
	backup := filepath.Join(dir, "backup")
	if status, _, errOut := n.command("", "backup", backup); status != exitDone {
		t.Fatal(errOut)
	}
	auth := filepath.Join(dir, "auth")
	write(t, auth, "registrard:secret\n")
	digest := digestOf(t, n)
	raft := filepath.Join(dir, "raft")
	for _, c := range []struct {
		args   string
		status int
		out    string // regular expressions, of all
		errOut string
	}{
		// The node runs.
		{args: "inspect " + n.dir, out: `(?s)^DIRECTORY .*log +zookeeper\nnode +n1\n.*entries +1 to \d+.*1 admitted.*digest +` + digest},
		{args: "inspect --zookeeper " + where + "/first", out: `(?s)^ZOOKEEPER +\S+/first\nlog +zookeeper\nnode +-\n.*digest +` + digest},
		{args: "inspect --zookeeper " + where + "/first -o json", out: `^\{"log":"zookeeper","cluster":"\w+","snapshots":\[\],"first_entry":1,.*"digest":"` + digest},
		{args: "inspect --entries --zookeeper " + where + "/first", out: `(?s)  term 1  .*agent.admit`},
		{args: "inspect --zookeeper " + where + "/nowhere", status: 1, errOut: `^registrard: /nowhere holds no log\n$`},
		{args: "inspect " + backup + " --zookeeper " + where, status: 2, errOut: `is a file`},
		{args: "inspect", status: 2, errOut: `what to look at`},
		{args: "restore " + backup + " --id n1 --log zookeeper --zookeeper " + where + "/first", status: 1, errOut: `^registrard: /first holds the log of cluster \w+, and nothing is overwritten: name another root\n$`},
		{args: "restore " + backup + " --id n1 --log zookeeper", status: 2, errOut: `--zookeeper is required`},
		{args: "restore " + backup + " --id n1 --log zookeeper --zookeeper :/", status: 2, errOut: `is not`},
		{args: "restore " + backup + " --id n1 --data-dir " + raft + " --zookeeper " + where, status: 2, errOut: `go with --log zookeeper`},
		{args: "restore " + backup + " --id n1 --log zookeeper --zookeeper " + where + "/second --zookeeper-auth-file " + auth,
			out: `(?s)^1 agents, digest ` + digest + `\nThe new cluster \w+ is at index 10\d+; start its first member with: registrard serve --id n1 --zookeeper \S+/second --log zookeeper`},
		{args: "inspect --zookeeper " + where + "/second", status: 1, errOut: `^registrard: ZooKeeper does not let this member read /second/identity without credentials.*\n$`},
		{args: "inspect --zookeeper " + where + "/second --zookeeper-auth-file " + auth, out: `(?s)snapshot +at index 10\d+, digest ` + digest + `\nentries +none\n.*digest +` + digest},
		{args: "inspect --zookeeper " + where + "/second --zookeeper-auth-file " + filepath.Join(dir, "nobody"), status: 2, errOut: `no such file`},
		{args: "recover " + n.dir + " --data-dir " + raft, status: 2, errOut: `no majority of members to lose`},
	} {
		status, out, errOut := offline(strings.Fields(c.args)...)
		if status != c.status || !regexp.MustCompile(c.out).MatchString(out) || !regexp.MustCompile(c.errOut).MatchString(errOut) || c.status == 0 && errOut != "" {
			t.Errorf("registrard %s: exit status %d\nout: %s\nerr: %s\nwant %d, %q, %q", c.args, status, out, errOut, c.status, c.out, c.errOut)
		}
	}
	if _, err := os.Stat(raft); err == nil {
		t.Error("what was refused has left a directory")
	}
}
