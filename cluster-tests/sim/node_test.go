package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/mastership"
)

// node is a member: an address, a directory, and one life after the other.
type node struct {
	r    *run
	id   string
	addr string
	dir  string // of the present life
	join bool   // it joined, and founds nothing

	mu    sync.Mutex
	life  *life // nil while it is down
	lives int
}

// life is one process of a member.
type life struct {
	*registrar.Registrar
	name     string // of this life alone
	port     *port
	log      *raftlog.Log[fsm.Result]
	masters  *mastership.Mastership
	cancel   context.CancelFunc
	finished chan struct{}
	over     chan struct{} // closed when clients must not hear of it any more
}

// alive is the node's present life, nil while it is down.
func (n *node) alive() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// start begins a life on the directory as it is. It returns once the log is open, which may take as long as it takes to
// find the other founders.
func (n *node) start(ctx context.Context) error {
	n.mu.Lock()
	n.lives++
	name := fmt.Sprintf("%s#%d", n.id, n.lives)
	n.mu.Unlock()
	l := &life{name: name, port: newPort(n.r.net, n.id, n.addr), finished: make(chan struct{}), over: make(chan struct{})}
	machine := fsm.New()
	cfg := raftlog.Config{
		ID: n.id, Dir: n.dir, Transport: l.port, InitialMembers: n.r.founders,
		SnapshotBytes: 24 << 10, TrailingEntries: 8, SegmentBytes: 256 << 10,
	}
	if n.join {
		cfg.InitialMembers = nil
		cfg.Join = n.ask
	}
	var err error
	if l.log, err = raftlog.Open(ctx, cfg, machine); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	of := registrar.Defaults(n.id)
	of.HTTPAddr, of.RaftAddr = n.id+":http", n.addr
	if l.Registrar, err = registrar.New(of, l.log, machine); err != nil {
		return errors.Join(err, l.log.Close())
	}
	l.masters = mastership.New(l.Registrar, nil)
	var running context.Context
	running, l.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(l.finished)
		err := l.Run(running)
		if err == nil || running.Err() != nil {
			return
		}
		n.r.complain("a node ended by itself", "%s: %v", name, err)
	}()
	go n.r.monitor(l)
	n.mu.Lock()
	n.life = l
	n.mu.Unlock()
	return nil
}

// ask has the cluster add this node.
func (n *node) ask(ctx context.Context) (string, error) {
	for {
		for _, other := range n.r.members() {
			if l := other.alive(); l != nil && other != n {
				if err := l.log.Add(ctx, replica(n.id, n.addr)); err == nil {
					return l.log.Status().Cluster, nil
				}
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// crash ends the life as the loss of its process would: at once, in the midst of whatever it does. What goes on unseen
// in the bubble goes on as a zombie, cut off, on files that nobody will read; the next life has a copy of them as
// they were.
func (n *node) crash() {
	n.mu.Lock()
	l := n.life
	n.life = nil
	n.mu.Unlock()
	if l == nil {
		return
	}
	close(l.over)
	l.port.Fence(errReset)
	left := n.dir
	n.mu.Lock()
	n.dir = filepath.Join(n.r.dir, fmt.Sprintf("%s-%d", n.id, n.lives))
	n.mu.Unlock()
	if err := photograph(n.dir, left); err != nil {
		n.r.complain("harness", "copy %s: %v", left, err)
	}
	n.r.zombies.Go(func() {
		l.end()
		if err := os.RemoveAll(left); err != nil {
			n.r.complain("harness", "%v", err)
		}
	})
}

// photograph copies a directory that is being written to as it is at one moment: a copy in which one file is older than
// another is nothing that a crash leaves behind. Read twice alike, nothing was written in between. Whoever writes is cut
// off, and time stands still here, so it comes to an end.
func photograph(to, from string) error {
	for {
		err := os.RemoveAll(to)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
		var copied, now [sha256.Size]byte
		if err == nil {
			copied, err = sum(to)
		}
		if err == nil {
			now, err = sum(from)
		}
		if errors.Is(err, fs.ErrNotExist) || err == nil && copied != now {
			continue // a file was deleted meanwhile, or written to
		}
		return err
	}
}

// sum tells directories apart that differ in any name or byte.
func sum(dir string) (s [sha256.Size]byte, err error) {
	h := sha256.New()
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(h, "%s %d %s", path, len(text), text)
		return err
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

// stop ends the life in order.
func (n *node) stop() {
	n.mu.Lock()
	l := n.life
	n.life = nil
	n.mu.Unlock()
	if l != nil {
		l.end()
		close(l.over)
	}
}

func (l *life) end() {
	l.cancel()
	<-l.finished
	_ = l.log.Close() // a zombie may have failed in many ways
}
