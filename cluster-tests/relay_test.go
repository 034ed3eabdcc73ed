package clustertests

import (
	"net"
	"sync"
	"testing"

	"github.com/registrard/registrard/transport/transporttest"
)

// relay is a way to a server that can be cut, as by a firewall that drops: connections stay, and nothing passes until it
// is mended.
type relay struct {
	address string

	mu     sync.Mutex
	passes chan struct{} // closed while it is whole
}

// relayTo listens until the test ends.
func relayTo(t *testing.T, server string) *relay {
	t.Helper()
	r := &relay{passes: make(chan struct{})}
	close(r.passes)
	r.address = accept(t, transporttest.Address(t), func(from net.Conn) { r.carry(from, server) })
	return r
}

func (r *relay) carry(from net.Conn, server string) {
	<-r.whole()
	to, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer to.Close()
	open := func() bool {
		<-r.whole()
		return true
	}
	go pass(to, from, open)
	pass(from, to, open)
}

// accept listens at an address until the test ends, has every connection carried, which then ends, and returns where it
// listens.
func accept(t testing.TB, address string, carry func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				carry(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// pass carries bytes one way and ends both connections when there are no more. Each piece, and the end, waits until the
// way is open; where open tells that it never will be, nothing more passes.
func pass(to, from net.Conn, open func() bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !open() {
			return
		}
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (r *relay) whole() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passes
}

// cut stops everything, and what returns lets it go on.
func (r *relay) cut() (mend func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	passes := make(chan struct{})
	r.passes = passes
	return func() { close(passes) }
}
