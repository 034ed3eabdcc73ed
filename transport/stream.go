package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// maxHandshakes bounds the connections that were accepted but have not shown a right preamble. Further
// ones wait in the kernel's queue.
const maxHandshakes = 64

// stream is the raft.StreamLayer: it accepts and dials, checks preambles, and holds every connection that is
// open so that all can be closed at once.
type stream struct {
	peer *Peer // for its configuration, cluster and hello

	ctx     context.Context // ends with the first Close or Fence
	cancel  context.CancelCauseFunc
	closed  chan struct{} // closed by Close alone
	running sync.WaitGroup
	raft    chan net.Conn // handshaken connections, for Accept

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newStream(p *Peer) *stream {
	s := &stream{peer: p, raft: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// Accept implements net.Listener for the NetworkTransport: it returns raft connections alone. A fence ends
// them all, but only Close ends the waiting: the NetworkTransport would ask again and again.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.raft:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: it ends every connection and returns when no goroutine is left here. The
// NetworkTransport calls it once.
func (s *stream) Close() error {
	s.end(net.ErrClosed)
	close(s.closed)
	s.running.Wait()
	return nil
}

// end closes the listener and every connection; cause is what later calls fail with. The first cause stays.
func (s *stream) end(cause error) {
	s.cancel(cause)
	s.peer.cfg.Listen.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// Addr implements net.Listener with the address that others reach this node at.
func (s *stream) Addr() net.Addr { return address(s.peer.cfg.Advertise) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// target is what the NetworkTransport dials: it knows nodes by address alone, so the id travels in it.
func target(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(string(addr) + "\n" + string(id))
}

// Dial implements raft.StreamLayer for addresses made by target.
func (s *stream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	addr, id, _ := strings.Cut(string(to), "\n")
	return s.dial(ctx, purposeRaft, id, addr)
}

// dial connects to the node id at addr, up to the verdict on our preamble.
func (s *stream) dial(ctx context.Context, why purpose, id, addr string) (net.Conn, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, context.Cause(s.ctx)
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := s.hold(raw)
	if err != nil {
		return nil, err
	}
	abandon := func(err error) (net.Conn, error) {
		conn.Close()
		return nil, fmt.Errorf("node %q at %s: %w", id, addr, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return abandon(err)
		}
	}
	if certs := s.peer.cfg.TLS; certs != nil {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return abandon(err)
		}
		secure := tls.Client(conn.Conn, certs.Client(host))
		if err := secure.HandshakeContext(ctx); err != nil {
			return abandon(err)
		}
		conn.Conn = secure
	}
	p := preamble{purpose: why, cluster: s.peer.Cluster(), from: s.peer.cfg.ID, to: id, at: s.peer.cfg.Advertise}
	if err := greet(conn, p); err != nil {
		return abandon(err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return abandon(err)
	}
	return conn, nil
}

// accept takes connections until the listener closes.
func (s *stream) accept() {
	slots := make(chan struct{}, maxHandshakes)
	for {
		select {
		case slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		raw, err := s.peer.cfg.Listen.Accept()
		if err != nil {
			if s.ctx.Err() == nil {
				s.peer.logger.Warn("accept failed, trying again", "error", err)
				select { // out of file descriptors, say: waiting helps, spinning does not
				case <-time.After(100 * time.Millisecond):
				case <-s.ctx.Done():
				}
			}
			<-slots
			continue
		}
		conn, err := s.hold(raw)
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer func() { <-slots }()
			if err := s.admit(conn); err != nil {
				conn.Close()
				if s.ctx.Err() == nil {
					s.peer.logger.Debug("connection refused", "from", raw.RemoteAddr().String(), "error", err)
				}
			}
		})
	}
}

// admit reads the preamble and hands the connection to what it is for. Nothing but the preamble is read
// before it is found right.
func (s *stream) admit(conn *held) error {
	if err := conn.SetDeadline(time.Now().Add(s.peer.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	if certs := s.peer.cfg.TLS; certs != nil {
		secure := tls.Server(conn.Conn, certs.Server())
		if err := secure.HandshakeContext(s.ctx); err != nil {
			return err
		}
		conn.Conn = secure
	}
	p, err := readPreamble(conn)
	if err != nil && !errors.Is(err, ErrProtocol) {
		return err
	}
	v := s.judge(p, err)
	if _, err := conn.Write([]byte{byte(v)}); err != nil {
		return err
	}
	if v != welcome {
		return fmt.Errorf("%q means node %q of cluster %q: verdict %d", p.from, p.to, p.cluster, v)
	}
	switch p.purpose {
	case purposeHello:
		defer conn.Close()
		return s.peer.serveHello(conn)
	case purposeSuspicion:
		defer conn.Close()
		return s.peer.serveSuspicion(conn)
	}
	conn.from = p.from
	s.peer.losses.connected(p.from)
	if met := s.peer.met.Load(); met != nil {
		(*met)(p.from, p.at)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	select {
	case s.raft <- conn:
		return nil
	case <-s.ctx.Done():
		return net.ErrClosed
	}
}

func (s *stream) judge(p preamble, err error) verdict {
	switch cluster := s.peer.Cluster(); {
	case err != nil, p.purpose != purposeRaft && p.purpose != purposeHello && p.purpose != purposeSuspicion:
		return unknownProtocol
	case s.ctx.Err() != nil:
		return fenced
	case p.to != s.peer.cfg.ID:
		return otherNode
	case p.purpose != purposeHello && (cluster == "" || p.cluster != cluster):
		return otherCluster
	default:
		return welcome
	}
}

// held is a connection that the stream knows until it is closed.
type held struct {
	net.Conn
	stream *stream
	raw    net.Conn
	from   string // who has connected for Raft's calls; empty for all others
	closed sync.Once
}

// hold notes conn, or closes it when the stream has ended.
func (s *stream) hold(raw net.Conn) (*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		raw.Close()
		return nil, context.Cause(s.ctx)
	}
	s.conns[raw] = struct{}{}
	return &held{Conn: raw, stream: s, raw: raw}, nil
}

func (h *held) Close() error {
	h.closed.Do(func() {
		h.stream.mu.Lock()
		delete(h.stream.conns, h.raw)
		h.stream.mu.Unlock()
		if h.from != "" {
			h.stream.peer.losses.disconnected(h.from)
		}
	})
	return h.raw.Close()
}
