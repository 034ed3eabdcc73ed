package clustertests

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
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
// healed. HTTP goes past it: a member that is cut off can still pass requests on.
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.carry(conn, id, address)
		}
	}()
	return listener.Addr().String()
}

func (g *gates) carry(conn net.Conn, to, address string) {
	defer conn.Close()
	opening, from, err := sender(conn)
	if err != nil || !g.open(from, to) || !g.open(to, from) {
		return
	}
	member, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer member.Close()
	if _, err := member.Write(opening); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.pass(conn, member, to, from)
	}()
	g.pass(member, conn, from, to)
	<-done
}

// pass carries bytes one way, each while that way is whole, and closes both connections at their end.
func (g *gates) pass(out, in net.Conn, from, to string) {
	defer out.Close()
	defer in.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if !g.open(from, to) {
				return
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// sender reads the preamble of a connection between members (transport/doc.go), and tells from whom it is.
func sender(conn io.Reader) (preamble []byte, from string, err error) {
	var names [4]string // cluster, from, to, the address of from
	preamble = make([]byte, 6)
	if _, err := io.ReadFull(conn, preamble); err != nil {
		return nil, "", err
	}
	for i := range names {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return nil, "", err
		}
		name := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(conn, name); err != nil {
			return nil, "", err
		}
		preamble = append(append(preamble, size[:]...), name...)
		names[i] = string(name)
	}
	return preamble, names[1], nil
}
