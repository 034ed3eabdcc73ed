package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/transport/transporttest"
)

// running is a node of the program, in this process.
type running struct {
	t       *testing.T
	address string
	dir     string
	stop    context.CancelFunc
	exit    chan int
	out     *output
}

// output is written by a node and read by a test.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startNode runs a command that serves and waits until it is ready.
func startNode(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	return startNodeTLS(t, dir, nil, args...)
}

// startNodeTLS is startNode, asking with TLS where a configuration for it is given.
func startNodeTLS(t *testing.T, dir string, config *tls.Config, args ...string) *running {
	t.Helper()
	r := &running{t: t, address: transporttest.Address(t), dir: dir, exit: make(chan int, 1), out: &output{}}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		r.exit <- run(ctx, append(args, "--data-dir", dir, "--http-addr", r.address, "--raft-addr", "127.0.0.1:0"), strings.NewReader(""), r.out, r.out)
	}()
	t.Cleanup(func() { r.end() })
	scheme, client := "http://", &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	if config != nil {
		scheme = "https://"
	}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if response, err := client.Get(scheme + r.address + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return r
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", r.out)
		}
	}
}

// end asks the node to end and returns its exit status.
func (r *running) end() int {
	r.stop()
	select {
	case status := <-r.exit:
		r.exit <- status
		return status
	case <-time.After(time.Minute):
		r.t.Fatalf("the node does not end:\n%s", r.out)
		return -1
	}
}

// command runs a client command against the node.
func (r *running) command(stdin string, args ...string) (status int, out, errOut string) {
	var o, e bytes.Buffer
	status = run(r.t.Context(), append(args, "--address", "http://"+r.address), strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

// The command line from a user's side: what is said, where, and with which exit status.
func TestCommands(t *testing.T) {
	n := startNode(t, filepath.Join(t.TempDir(), "data"), "dev")
	fleet := filepath.Join(t.TempDir(), "fleet.csv")
	write(t, fleet, "node_name,cpu_num,gpu_capacity_num,gpu_model\nx1,4,0,\nx2,8,2,A100\n")
	badFleet := filepath.Join(t.TempDir(), "bad.csv")
	write(t, badFleet, "node_name,cpu_num,gpu_capacity_num,gpu_model\ny1,4,0,\ny2,many,2,A100\n")
	outages := filepath.Join(t.TempDir(), "outages.csv")
	write(t, outages, traceHeader+"9,1,6/21/2005 10:54,6/21/2005 11:00,,\n9,2,6/21/2005 10:54,,Fan,\n9,,6/21/2005 10:54,,,\n")
	for _, c := range []struct {
		args   []string
		stdin  string
		status int
		out    string // a regular expression, of all
		errOut string
	}{
		{args: []string{"op", "agent.admit", "agent.id=a1", "agent.hostname=h1", "agent.port=5052"}, out: `^changed at index \d+\n$`},
		{args: []string{"op", "agent.admit", "agent.id=a1", "agent.hostname=h1"}, status: 1, errOut: `^registrard: agent.admit rejected \(already_admitted\): agent a1 is already admitted\n$`},
		{args: []string{"op", "agent.drain", "id=a1", "max_grace_period=10m", "mark_gone=true"}, out: `^changed`},
		{args: []string{"op", "agent.drain", "id=a1", "max_grace_period=10m", "mark_gone=true"}, out: `^unchanged`},
		{args: []string{"op", "agent.drain", "id=a1", "max_grace_period=10m", "mark_gone=true", "-o", "json"}, out: `^\{"index":\d+,"results":\[\{"outcome":"unchanged"\}\]\}\n$`},
		{args: []string{"op", "agent.drain"}, status: 1, errOut: `id is empty`},
		{args: []string{"op", "agent.drain", "id"}, status: 2, errOut: `"id" is not key=value`},
		{args: []string{"op", "agent.drain", "colour=red"}, status: 2, errOut: `no argument "colour"`},
		{args: []string{"op", "agent.vanish"}, status: 2, errOut: `unknown kind "agent.vanish"`},
		{args: []string{"op"}, status: 2, errOut: `which operation`},
		{args: []string{"op", "agent.remove", "id=a1", "--epoch", "7"}, status: 1, errOut: `superseded`},
		{args: []string{"op", "quota.update", `quotas=[{"role":"web","limits":{"cpus":120}}]`}, out: `^changed`},
		{args: []string{"op", "agent.prune", "gone=a,b"}, out: `^unchanged`},
		{args: []string{"op", "--file", "-"}, status: 1, stdin: `{"kind":"agent.admit","args":{"agent":{"id":"f1","hostname":"h"}}}
{"kind":"agent.remove","args":{"id":"nobody"}}

{"kind":"agent.remove"
{"kind":"agent.remove","args":{"name":"x"}}
{"kind":"agent.admit","args":{"agent":{"id":"f2","hostname":"h"}}}
`, out: `^2 changed, 0 unchanged, 1 rejected, 2 invalid\n$`, errOut: `(?s)-:4: .*-:5: .*-:2: agent.remove rejected \(unknown_agent\)`},
		{args: []string{"op", "--file", "/nowhere"}, status: 1, errOut: `no such file`},
		{args: []string{"agents"}, out: `(?s)^ID +PHASE .*\na1 +admitted +h1 .* draining, then gone .*\nf1 .*\nf2 `},
		{args: []string{"agents", "--phase", "gone"}, out: `^ID[^\n]*\n$`},
		{args: []string{"agents", "--phase", "up"}, status: 2, errOut: `"up" is not a phase`},
		{args: []string{"agents", "--order", "since", "-o", "json"}, out: `(?s)^\{"id":"a1".*\n\{"id":"f1".*\n\{"id":"f2".*\n$`},
		{args: []string{"agent", "a1"}, out: `(?s)phase +admitted.*grace +10m0s.*hostname +h1`},
		{args: []string{"agent", "nobody"}, status: 1, errOut: `^registrard: agent "nobody" is unknown\n$`},
		{args: []string{"agent"}, status: 2, errOut: `accepts 1 arg`},
		{args: []string{"quotas"}, out: `(?s)ROLE.*web +- +cpus 120`},
		{args: []string{"registry"}, out: `(?s)agents +3 admitted, 0 unreachable, 0 gone`},
		{args: []string{"registry", "-o", "json"}, out: `"minimum_capabilities":\["AGENT_DRAINING","QUOTA_V2"\]`},
		{args: []string{"status"}, out: `(?s)NODE +n1.*leader`},
		{args: []string{"members"}, out: `(?s)n1 +voter +yes`},
		{args: []string{"members", "remove", "n1"}, status: 1, errOut: `has to hand that over first`},
		{args: []string{"members", "remove", "n9"}, status: 1, errOut: `unknown replica`},
		{args: []string{"master"}, out: `nobody holds mastership`},
		{args: []string{"removals"}, out: `ALARM +none`},
		{args: []string{"frameworks"}, out: `^ID`},
		{args: []string{"weights"}, out: `^ROLE`},
		{args: []string{"maintenance"}, out: `^HOSTNAME`},
		{args: []string{"load", "--fleet", badFleet}, status: 1, errOut: `bad.csv:3: cpu_num "many" is not a number`},
		{args: []string{"load", "--fleet", fleet}, out: `^2 agents: 2 admitted, 0 already admitted, 0 rejected in `},
		{args: []string{"load", "--fleet", fleet, "-o", "json"}, out: `^\{"admitted":0,"already_admitted":2,"rejected":0,`},
		{args: []string{"load"}, status: 2, errOut: `--fleet`},
		{args: []string{"load", "--outages", outages, "--fleet", fleet}, status: 2, errOut: `one of`},
		{args: []string{"load", "--fleet", fleet, "--until", "2005-06-21"}, status: 2, errOut: `--until goes with`},
		{args: []string{"load", "--outages", outages, "--until", "June"}, status: 2, errOut: `"June" is not a day`},
		{args: []string{"load", "--outages", outages}, out: `^3 records: 2 outages of 2 nodes, 1 skipped \(1 without a node\)\n5 operations: 5 changed, 0 unchanged, 0 already known, 0 rejected in .*, \d+ a second\n$`},
		{args: []string{"load", "--outages", outages, "-o", "json"}, status: 1, out: `"already_known":2,"events":3,"changed":2,"unchanged":0,"rejected":1,`, errOut: `agent 9-2 is unreachable`},
		{args: []string{"agents", "--phase", "unreachable"}, out: `9-2 +unreachable +9-2 +- +- +2005-06-21T10:54:00Z +Hardware: Fan`},
		{args: []string{"status", "-o", "yaml"}, status: 2, errOut: `--output "yaml"`},
		{args: []string{"members", "nonsense"}, status: 2, errOut: `unknown command "nonsense"`},
		{args: []string{"status", "--nonsense"}, status: 2, errOut: `unknown flag`},
	} {
		status, out, errOut := n.command(c.stdin, c.args...)
		if status != c.status || !regexp.MustCompile(c.out).MatchString(out) || !regexp.MustCompile(c.errOut).MatchString(errOut) ||
			c.status == 0 && errOut != "" {
			t.Errorf("registrard %s: exit status %d\nout: %s\nerr: %s\nwant %d, %q, %q", strings.Join(c.args, " "), status, out, errOut, c.status, c.out, c.errOut)
		}
	}
	if status := n.end(); status != exitDone {
		t.Errorf("the node ended with %d:\n%s", status, n.out)
	}
	if said := n.out.String(); !strings.Contains(said, "registrard is ready on http://"+n.address) || !strings.Contains(said, n.dir) {
		t.Errorf("dev said:\n%s", said)
	}
}

// Nobody at the address: one clear line, exit status 1. Nobody who can say: 3.
func TestNobodyThere(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := run(t.Context(), []string{"op", "agent.remove", "id=a1", "--address", "127.0.0.1:1", "--timeout", "100ms"}, nil, &out, &errOut); status != exitFailed {
		t.Errorf("exit status %d: %s", status, errOut.String())
	}
	if lines := strings.Count(errOut.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, errOut.String())
	}
	mute := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go mute.Serve(listener)
	defer mute.Close()
	errOut.Reset()
	if status := run(t.Context(), []string{"op", "agent.remove", "id=a1", "--address", listener.Addr().String(), "--timeout", "100ms"}, nil, &out, &errOut); status != exitUncertain {
		t.Errorf("exit status %d: %s", status, errOut.String())
	}
}

// What dev keeps, serve opens, under the same id and no other.
func TestDevIsKeptAndServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := startNode(t, dir, "dev")
	if status, _, errOut := n.command("", "op", "agent.admit", "agent.id=a1", "agent.hostname=h1"); status != exitDone {
		t.Fatal(errOut)
	}
	digest := digestOf(t, n)
	if status := n.end(); status != exitDone {
		t.Fatalf("ended with %d:\n%s", status, n.out)
	}
	n = startNode(t, dir, "serve", "--id", "n1")
	if again := digestOf(t, n); again != digest {
		t.Errorf("digest %s, was %s", again, digest)
	}
	n.end()
	var out, errOut bytes.Buffer
	status := run(t.Context(), []string{"serve", "--id", "n2", "--data-dir", dir, "--http-addr", "127.0.0.1:0", "--raft-addr", "127.0.0.1:0", "--log-level", "error"}, nil, &out, &errOut)
	if status != exitFailed || !strings.Contains(errOut.String(), "n1") || strings.Count(errOut.String(), "\n") != 1 {
		t.Errorf("another id: exit status %d: %s", status, errOut.String())
	}
}

func digestOf(t *testing.T, n *running) string {
	t.Helper()
	status, out, errOut := n.command("", "status", "-o", "json")
	var answer struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || status != exitDone {
		t.Fatalf("%v %d %s", err, status, errOut)
	}
	return answer.Digest
}

// A server's command line that cannot be right is refused with exit status 2 before anything is opened.
func TestServerUsage(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve"}, "--id is required"},
		{[]string{"serve", "--id", "n1"}, "--data-dir is required"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--initial-members", "n1"}, "is not ID=HOST:PORT"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--join", "x:1", "--initial-members", "n1=127.0.0.1:1"}, "exclude each other"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--log", "tape"}, `--log "tape" is not one of`},
		{[]string{"serve", "--id", "n1", "--log", "leveldb"}, "--data-dir is required"},
		{[]string{"serve", "--id", "n1", "--log", "leveldb", "--data-dir", dir, "--join", "x:1"}, "is of one node"},
		{[]string{"serve", "--id", "n1", "--log", "memory", "--initial-members", "n1=127.0.0.1:1"}, "is of one node"},
		{[]string{"serve", "--id", "n1", "--log", "zookeeper"}, "--zookeeper is required"},
		{[]string{"serve", "--id", "n1", "--log", "zookeeper", "--zookeeper", "a:1,/x"}, "is not HOST:PORT"},
		{[]string{"serve", "--id", "n1", "--log", "zookeeper", "--zookeeper", "a:1/x//y"}, "is not a path"},
		{[]string{"serve", "--id", "n1", "--log", "zookeeper", "--zookeeper", "a:1", "--join", "x:1"}, "go with --log raft"},
		{[]string{"serve", "--id", "n1", "--log", "zookeeper", "--zookeeper", "a:1", "--zookeeper-world-readable"}, "without credentials everything is readable"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--zookeeper", "a:1"}, "go with --log zookeeper"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--http-addr", "nonsense"}, "is not host:port"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--http-addr", ":0"}, "--advertise-http"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--http-addr", "127.0.0.1:0", "--raft-addr", "0.0.0.0:0", "--advertise-raft", "h:1"}, "--insecure-peers"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--peer-cert", "x"}, "belong together"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--log-level", "loud"}, `--log-level "loud"`},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--agent-removal-limit", "5"}, "percentage"},
		{[]string{"serve", "--id", "n1", "--data-dir", dir, "--agent-removal-rate", "fast"}, "N/duration"},
	} {
		var out, errOut bytes.Buffer
		if status := run(t.Context(), c.args, nil, &out, &errOut); status != exitUsage || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("registrard %s: exit status %d: %s\nwant %s", strings.Join(c.args, " "), status, errOut.String(), c.want)
		}
	}
}

// A flag's variable counts where the flag is not given.
func TestEnvironment(t *testing.T) {
	t.Setenv("REGISTRARD_OUTPUT", "yaml")
	var out, errOut bytes.Buffer
	if status := run(t.Context(), []string{"status"}, nil, &out, &errOut); status != exitUsage || !strings.Contains(errOut.String(), "yaml") {
		t.Errorf("exit status %d: %s", status, errOut.String())
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
