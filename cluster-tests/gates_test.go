package clustertests

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/registrard/registrard/transport"
)

// links are the ways from one member to another.
type links interface {
	// cut lets nothing from one reach the other any more; the way back stays.
	cut(from, to string)
	// heal takes all faults away.
	heal()
}

// part cuts both ways between the members of each pair of groups.
func part(l links, groups ...[]string) {
	for i, group := range groups {
		for _, other := range slices.Concat(groups[i+1:]...) {
			for _, one := range group {
				l.cut(one, other)
				l.cut(other, one)
			}
		}
	}
}

// gates are links where there is no root: each member's Raft address is a gate on the loopback device, which knows who
// comes by the first bytes of a connection. What is cut waits in it, as in a line whose packets are sent again, until all is
// healed. HTTP goes past it: a member that is cut off can still pass requests on. A gate takes connections for a member that
// is dead, too, so that its death is seen by its silence, and not at once.
type gates struct {
	t       testing.TB
	closing chan struct{}
	mu      sync.Mutex
	closed  map[[2]string]chan struct{} // the ways that are cut, from and to, until each is healed
}

func newGates(t testing.TB) *gates {
	g := &gates{t: t, closing: make(chan struct{}), closed: map[[2]string]chan struct{}{}}
	t.Cleanup(func() { close(g.closing) })
	return g
}

func (g *gates) cut(from, to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed[[2]string{from, to}] == nil {
		g.closed[[2]string{from, to}] = make(chan struct{})
	}
}

func (g *gates) heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, healed := range g.closed {
		close(healed)
	}
	clear(g.closed)
}

// open waits until the way from one member to another is whole, and tells whether anything may still pass.
func (g *gates) open(from, to string) bool {
	for {
		g.mu.Lock()
		healed := g.closed[[2]string{from, to}]
		g.mu.Unlock()
		if healed == nil {
			return true
		}
		select {
		case <-healed:
		case <-g.closing:
			return false
		}
	}
}

// before puts a gate in front of a member that listens at an address, and returns the gate's own.
func (g *gates) before(id, address string) string {
	g.t.Helper()
	return accept(g.t, "127.0.0.1:0", func(conn net.Conn) { g.carry(conn, id, address) })
}

func (g *gates) carry(conn net.Conn, to, address string) {
	var opening bytes.Buffer
	from, err := transport.Sender(io.TeeReader(conn, &opening))
	if err != nil || !g.open(from, to) || !g.open(to, from) {
		return
	}
	member, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer member.Close()
	if _, err := member.Write(opening.Bytes()); err != nil {
		return
	}
	go pass(conn, member, func() bool { return g.open(to, from) })
	pass(member, conn, func() bool { return g.open(from, to) })
}
