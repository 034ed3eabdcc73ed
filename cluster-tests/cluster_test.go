package clustertests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/transport/transporttest"
)

// patience is how long anything may take that must happen: generous, for a loaded machine is no fault.
const patience = 60 * time.Second

// Cluster is some nodes of one registry, each a process of its own with a directory of its own.
type Cluster struct {
	Nodes  []*Node // while members change, read it through members
	t      testing.TB
	flags  []string
	binary string   // empty: the one that is tested
	plant  string   // the bug that binary has
	net    *network // nil: all on the loopback device
	gates  *gates   // there, between members; nil: none
	disks  *disks   // nil: all in one temporary directory
	mu     sync.Mutex
}

// Node is one registrard, running or not.
type Node struct {
	ID       string
	HTTP     string // host:port
	Raft     string // host:port
	Dir      string
	args     []string
	env      []string
	life     atomic.Int64 // how often it was started
	down     atomic.Bool  // a fault keeps it down
	excused  atomic.Int64 // until when a fault is reason enough to end by itself, Unix nanoseconds
	log      tail
	starting sync.Mutex
	mu       sync.Mutex
	process  *os.Process
	finished chan struct{}
	err      error // of Wait, once finished
}

// newCluster founds a cluster of n nodes and returns once each is ready. flags go to every node.
func newCluster(t testing.TB, n int, flags ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, flags: flags}
	c.found(n)
	return c
}

// newClusterOn is newCluster with a host of a network for each node. It skips the test where there can be none.
func newClusterOn(t testing.TB, n int, flags ...string) *Cluster {
	t.Helper()
	if why := noNetwork(); why != "" {
		t.Skip(why)
	}
	c := &Cluster{t: t, flags: flags, net: newNetwork(t)}
	c.found(n)
	return c
}

// found starts the first n nodes and returns once each is ready.
func (c *Cluster) found(n int) {
	c.t.Helper()
	var members []string
	for i := range n {
		node := c.node(fmt.Sprintf("n%d", i+1))
		members = append(members, node.ID+"="+node.Raft)
	}
	for _, node := range c.Nodes {
		node.args = append(node.args, "--initial-members", strings.Join(members, ","))
	}
	c.t.Cleanup(c.close)
	for _, node := range c.Nodes {
		node.start(c.t)
	}
	for _, node := range c.Nodes {
		node.awaitReady(c.t)
	}
}

// node adds a node that does not run yet.
func (c *Cluster) node(id string) *Node {
	c.t.Helper()
	node := &Node{ID: id, env: append(os.Environ(), "REGISTRARD_PLANT="+c.plant)}
	if c.disks != nil {
		node.Dir = filepath.Join(c.disks.mount(id), id)
	} else {
		node.Dir = filepath.Join(c.t.TempDir(), id)
	}
	program := c.binary
	if program == "" {
		program = binary(c.t)
	}
	if c.net != nil {
		address := c.net.host(id)
		node.HTTP, node.Raft = address+":7050", address+":7051"
		node.args = append(c.net.within(id), program, "serve", "--insecure-peers")
	} else {
		node.HTTP, node.Raft = transporttest.Address(c.t), transporttest.Address(c.t)
		node.args = []string{program, "serve"}
	}
	node.args = append(node.args, "--id", id, "--data-dir", node.Dir, "--http-addr", node.HTTP, "--raft-addr", node.Raft)
	if c.gates != nil {
		node.Raft = c.gates.before(id, node.Raft)
		node.args = append(node.args, "--advertise-raft", node.Raft)
	}
	node.args = append(node.args, c.flags...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Nodes = append(c.Nodes, node)
	return node
}

// links are what can be cut between members; nil where nothing can.
func (c *Cluster) links() links {
	switch {
	case c.net != nil:
		return c.net
	case c.gates != nil:
		return c.gates
	}
	return nil
}

// members are the nodes there are now.
func (c *Cluster) members() []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Nodes)
}

func (c *Cluster) close() {
	if c.disks != nil {
		c.disks.thaw() // what waits for a frozen disk cannot be killed
	}
	for _, node := range c.members() {
		node.signal(syscall.SIGCONT)
		node.kill(c.t)
		if c.t.Failed() {
			c.t.Logf("%s said last:\n%s", node.ID, node.log.String())
		}
		if report := node.log.race(); report != "" {
			c.t.Errorf("data race in %s:\n%s", node.ID, report)
		}
	}
}

// addresses are the URLs of all nodes.
func (c *Cluster) addresses() []string {
	var urls []string
	for _, node := range c.members() {
		urls = append(urls, "http://"+node.HTTP)
	}
	return urls
}

// leader waits until a running node leads and returns it.
func (c *Cluster) leader() *Node {
	c.t.Helper()
	var leader *Node
	await(c.t, "a leader", func() error {
		for _, node := range c.members() {
			if status, err := node.status(); err == nil && status.Role == "leader" {
				leader = node
				return nil
			}
		}
		return fmt.Errorf("nobody leads")
	})
	return leader
}

// start runs the process, where it does not run already.
func (n *Node) start(t testing.TB) {
	t.Helper()
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.running() {
		return
	}
	n.life.Add(1)
	cmd := exec.Command(n.args[0], n.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, &n.log, &n.log
	// A failing test must not leave nodes behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	finished := make(chan struct{})
	n.mu.Lock()
	n.process, n.finished = cmd.Process, finished
	n.mu.Unlock()
	go func() {
		err := cmd.Wait()
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		close(finished)
	}()
}

func (n *Node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		_ = n.process.Signal(s) // a process that is gone needs none
	}
}

// excuse lets a node end by itself for a while.
func (n *Node) excuse(d time.Duration) { n.excused.Store(time.Now().Add(d).UnixNano()) }

// running tells whether the process is there.
func (n *Node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.finished:
		return false
	default:
		return n.finished != nil
	}
}

// kill is SIGKILL; it returns once the process is no more.
func (n *Node) kill(t testing.TB) { n.end(t, syscall.SIGKILL) }

// stop is SIGTERM; it returns the exit status once the process is no more.
func (n *Node) stop(t testing.TB) error { return n.end(t, syscall.SIGTERM) }

func (n *Node) end(t testing.TB, s syscall.Signal) error {
	t.Helper()
	n.signal(s)
	n.mu.Lock()
	finished := n.finished
	n.mu.Unlock()
	if finished == nil {
		return nil
	}
	select {
	case <-finished:
	case <-time.After(patience):
		t.Errorf("%s did not end after %s", n.ID, s)
		return errors.New("it did not end")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// restart runs the node again on its directory.
func (n *Node) restart(t testing.TB) {
	t.Helper()
	n.start(t)
	n.awaitReady(t)
}

func (n *Node) awaitReady(t testing.TB) {
	t.Helper()
	await(t, n.ID+" is ready", func() error {
		select {
		case <-n.finished:
			t.Fatalf("%s ended: %v\n%s", n.ID, n.err, n.log.String())
		default:
		}
		_, err := n.get("/readyz")
		return err
	})
}

// refuses waits until the node has ended by itself, and looks for what it must have said.
func (n *Node) refuses(t *testing.T, why string) {
	t.Helper()
	await(t, n.ID+" ends", func() error {
		if n.running() {
			return fmt.Errorf("it said:\n%s", n.log.String())
		}
		return nil
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	if said := n.log.String(); n.err == nil || !strings.Contains(said, why) {
		t.Errorf("%s ended with %v and said:\n%s", n.ID, n.err, said)
	}
}

// Status is what the tests read of GET /v1/status.
type Status struct {
	ID     string `json:"id"`
	Role   string `json:"role"`
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
	Chain  string `json:"chain"`
	Format uint64 `json:"format"`
	Agents struct {
		Admitted int `json:"admitted"`
	} `json:"agents"`
}

func (n *Node) status() (s Status, err error) {
	body, err := n.get("/v1/status")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

var httpClient = &http.Client{Timeout: 5 * time.Second}

// get asks this very node.
func (n *Node) get(path string) ([]byte, error) {
	response, err := httpClient.Get("http://" + n.HTTP + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, bytes.TrimSpace(body))
	}
	return body, err
}

// await asks again until it is so.
func await(t testing.TB, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not after %s: %v", what, patience, err)
		case <-tick.C:
		}
	}
}

// tail keeps the last lines that a node wrote, and everything from a race report on.
type tail struct {
	mu    sync.Mutex
	lines []string
	part  []byte
	races []string
}

const tailLines = 60

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.part = rest
		l.lines = append(l.lines, string(line))
		if len(l.races) > 0 && len(l.races) < tailLines || strings.Contains(string(line), "DATA RACE") {
			l.races = append(l.races, string(line))
		}
		if len(l.lines) > tailLines {
			l.lines = l.lines[1:]
		}
	}
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func (l *tail) race() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.races, "\n")
}
