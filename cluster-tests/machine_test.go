package clustertests

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ready waits a little for a node that was started; while others are cut off it may take longer than anybody
// wants to wait.
func (r *run) ready(node *Node) bool {
	ctx, cancel := context.WithTimeout(r.nemeses.ctx, 10*time.Second)
	defer cancel()
	for wait(ctx, 20*time.Millisecond) {
		if _, err := node.get("/readyz"); err == nil {
			return true
		}
		if !node.running() && node.down.Load() {
			return false
		}
	}
	return false
}

// handOver asks the leader to have another lead.
func (r *run) handOver(to *Node) {
	cl := r.c.client()
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = cl.Lead(ctx, to.ID) // a leader that cannot says so, and goes on
}

// replace has a new member join and takes an old one out.
func (r *run) replace(old *Node) {
	r.joined++
	id := fmt.Sprintf("j%d", r.joined)
	node := r.c.node(id)
	node.args = append(node.args, "--join", r.c.addresses()[0])
	if via := r.others([]string{old.ID, id}); len(via) > 0 {
		node.args[len(node.args)-1] = "http://" + r.c.find(via[0]).HTTP
	}
	node.excuse(time.Hour) // it gives up when there is nobody to take it in
	node.start(r.t)
	cl := r.c.client()
	defer cl.Close()
	// Whatever the network does, it comes to an end: what is cut is healed in time.
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for wait(ctx, 50*time.Millisecond) {
		if role := r.role(ctx, id); role == "voter" {
			break
		}
	}
	node.excuse(lateExit)
	for wait(ctx, 50*time.Millisecond) {
		if r.role(ctx, old.ID) == "" {
			break
		}
		if r.leads(old) {
			r.handOver(node)
			continue
		}
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		_ = cl.RemoveMember(try, old.ID) // the list tells whether it is gone
		cancel()
	}
	if ctx.Err() != nil {
		r.violate("liveness", "%s did not take the place of %s", id, old.ID)
		return
	}
	old.down.Store(true)
	old.kill(r.t)
	r.c.forget(old)
}

func (r *run) leads(node *Node) bool {
	status, err := node.status()
	return err == nil && status.Role == "leader"
}

// role is what the members' list says of one; empty: it is not there; unknown: nobody could tell.
func (r *run) role(ctx context.Context, id string) string {
	cl := r.c.client()
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	members, err := cl.Members(ctx, 0)
	if err != nil {
		return "unknown"
	}
	for _, member := range members.Members {
		if member.ID == id {
			return member.Role
		}
	}
	return ""
}

// find gives a member by its id.
func (c *Cluster) find(id string) *Node {
	nodes := c.members()
	return nodes[slices.IndexFunc(nodes, func(n *Node) bool { return n.ID == id })]
}

// forget takes a node out of the list.
func (c *Cluster) forget(node *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n *Node) bool { return n == node })
}

// damage hurts one file of a node that does not run. The node must go on as if nothing had happened, which is
// right where the byte meant nothing, or refuse and name what is damaged; then it is replaced.
func (r *run) damage(node *Node, rng *rand.Rand) {
	start := r.kill(node)
	var files []string
	err := filepath.WalkDir(node.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		r.t.Errorf("%s has no files: %v", node.ID, err)
		start()
		return
	}
	path := files[rng.IntN(len(files))]
	what, err := hurt(path, rng)
	if err != nil {
		r.t.Error(err)
	}
	node.excuse(time.Hour)
	start()
	node.down.Store(true) // it is not started again
	if r.ready(node) || node.running() {
		node.down.Store(false)
		node.excuse(lateExit)
		return
	}
	if said := node.log.String(); !strings.Contains(said, filepath.Base(path)) && !strings.Contains(said, filepath.Base(filepath.Dir(path))) {
		r.violate("damage", "%s: %s, and it did not say so when it refused to start:\n%s", node.ID, what, said)
	}
	r.replace(node)
}

// hurt flips a bit or cuts the end off, and says what it did.
func hurt(path string, rng *rand.Rand) (string, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return "an empty file was left alone", err
	}
	at := rng.Int64N(info.Size())
	if rng.IntN(3) == 0 {
		return fmt.Sprintf("%s was cut at %d of %d bytes", path, at, info.Size()), os.Truncate(path, at)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return "", err
	}
	b[0] ^= 1 << rng.IntN(8)
	_, err = file.WriteAt(b[:], at)
	return fmt.Sprintf("%s has a bit flipped in byte %d of %d", path, at, info.Size()), err
}

// strace has a node's syncs go wrong, until what it returns is called.
func (r *run) strace(node *Node, what string) (detach func()) {
	node.mu.Lock()
	pid := node.process.Pid
	node.mu.Unlock()
	tracer := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+what, "-p", fmt.Sprint(pid))
	if err := tracer.Start(); err != nil {
		r.t.Error(err)
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		_ = tracer.Wait() // it ends with the node, or when it is told to
		close(ended)
	}()
	return func() {
		_ = tracer.Process.Signal(syscall.SIGINT) // it may have ended
		select {
		case <-ended:
		case <-time.After(5 * time.Second): // it can miss that the node has ended, and then nobody else learns that either
			_ = tracer.Process.Kill()
			<-ended
		}
	}
}
