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
	r := &relay{address: transporttest.Address(t), passes: make(chan struct{})}
	close(r.passes)
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go r.carry(from, server)
		}
	}()
	return r
}

func (r *relay) carry(from net.Conn, server string) {
	defer from.Close()
	<-r.whole()
	to, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer to.Close()
	go r.pass(to, from)
	r.pass(from, to)
}

// pass carries bytes one way, each when the relay is whole.
func (r *relay) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		<-r.whole()
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
