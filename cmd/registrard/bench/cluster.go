package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// NodeCommand is the name of the hidden command that a node of a cluster of its own is run by: serve with the same
// flags, and Inside listening to its standard input.
const NodeCommand = "bench-node"

// cluster is nodes of this very program in processes of their own. They end when their standard input does, and so
// with this process.
type cluster struct {
	dir   string
	nodes []*node
}

type node struct {
	id, http, raft string
	dir            string
	members, join  string
	process        *exec.Cmd
	in             io.WriteCloser
	out            *bufio.Scanner
	log            *os.File
}

// startCluster founds a cluster of n nodes below dir and waits for its leader.
func startCluster(ctx context.Context, dir string, n int) (_ *cluster, err error) {
	addresses, err := freeAddresses(2 * n)
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	var members []string
	for i := range n {
		id := fmt.Sprintf("n%d", i+1)
		c.nodes = append(c.nodes, &node{id: id, http: addresses[2*i], raft: addresses[2*i+1], dir: filepath.Join(dir, id)})
		members = append(members, id+"="+addresses[2*i+1])
	}
	for _, node := range c.nodes {
		node.members = strings.Join(members, ",")
		if err := node.start(); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	if _, err := c.leader(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// freeAddresses finds loopback addresses that nobody listens on now.
func freeAddresses(n int) (addresses []string, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// start runs the node on what its directory holds.
func (n *node) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if n.log, err = os.OpenFile(n.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	n.process = exec.Command(program, NodeCommand, "--id", n.id, "--data-dir", n.dir, "--http-addr", n.http, "--raft-addr", n.raft)
	if n.join != "" {
		n.process.Args = append(n.process.Args, "--join", n.join)
	} else {
		n.process.Args = append(n.process.Args, "--initial-members", n.members)
	}
	n.process.Stderr = n.log
	if n.in, err = n.process.StdinPipe(); err != nil {
		return err
	}
	out, err := n.process.StdoutPipe()
	if err != nil {
		return err
	}
	n.out = bufio.NewScanner(out)
	n.out.Buffer(nil, 1<<20)
	return n.process.Start()
}

// kill ends the node as a crash would.
func (n *node) kill() error {
	if n.process == nil || n.process.Process == nil {
		return nil
	}
	err := n.process.Process.Kill()
	_ = n.process.Wait() // says that it was killed
	n.process = nil
	return errors.Join(err, n.log.Close())
}

// stop ends all nodes.
func (c *cluster) stop() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.kill())
	}
	return errors.Join(errs...)
}

// order has a node do something and waits for its answer.
func (n *node) order(o order) (answer, error) {
	var a answer
	text, err := json.Marshal(o)
	if err != nil {
		return a, err
	}
	if _, err := n.in.Write(append(text, '\n')); err != nil {
		return a, fmt.Errorf("node %s: %w", n.id, err)
	}
	if !n.out.Scan() {
		return a, fmt.Errorf("node %s ended: see %s", n.id, n.log.Name())
	}
	if err := json.Unmarshal(n.out.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		err = fmt.Errorf("node %s: %s", n.id, a.Error)
	}
	return a, err
}

// poll is how often a node is asked how far it is.
const poll = 5 * time.Millisecond

// leader waits for a node that leads and has begun its reign.
func (c *cluster) leader(ctx context.Context) (*node, error) {
	for {
		for _, n := range c.nodes {
			var status struct {
				Role  string
				Reign uint64
				Index uint64
			}
			if n.process != nil && n.get(ctx, "/v1/status", &status) == nil && status.Role == "leader" && n.get(ctx, "/v1/agents?limit=1", nil) == nil {
				return n, nil
			}
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return nil, fmt.Errorf("no node leads: %w", context.Cause(ctx))
		}
	}
}

// ready waits until a node is.
func (n *node) ready(ctx context.Context) error {
	for n.get(ctx, "/readyz", nil) != nil {
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return fmt.Errorf("node %s does not become ready: %w", n.id, context.Cause(ctx))
		}
	}
	return nil
}

// get asks a node for JSON.
func (n *node) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", n.id, response.Status)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}
