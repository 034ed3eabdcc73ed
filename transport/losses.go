package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// losses knows which members have connections for Raft's calls to this node, and since when those have none that had.
type losses struct {
	mu      sync.Mutex
	open    map[string]int       // connections by id
	lost    map[string]time.Time // when the last of them ended
	changed chan struct{}        // closed at the next loss; nil while nobody waits
}

// Lost tells since when a member that was connected for Raft's calls is connected no more. Its process may have
// died, or it has only let go of its connections; Refused tells more.
func (p *Peer) Lost(id string) (since time.Time, ok bool) {
	p.losses.mu.Lock()
	defer p.losses.mu.Unlock()
	since, ok = p.losses.lost[id]
	return since, ok
}

// Losses is closed when a member is lost after the call.
func (p *Peer) Losses() <-chan struct{} {
	p.losses.mu.Lock()
	defer p.losses.mu.Unlock()
	if p.losses.changed == nil {
		p.losses.changed = make(chan struct{})
	}
	return p.losses.changed
}

// Refused connects to addr and tells whether the machine there says that nobody listens. An address where nobody
// answers, a queue that is full, or a name that is not known refuse nothing.
func (p *Peer) Refused(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (l *losses) connected(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id]++
	delete(l.lost, id)
}

func (l *losses) disconnected(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[id]--; l.open[id] > 0 {
		return
	}
	delete(l.open, id)
	l.lost[id] = time.Now()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
