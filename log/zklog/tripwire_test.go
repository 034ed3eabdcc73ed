package zklog

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// What a request to ZooKeeper does, by the number in its header.
const (
	opCreate = 1
	opMulti  = 14
)

// tripwire stands between a client and a server, and breaks for good at a request that it was told to wait for.
type tripwire struct {
	addr   string
	server string
	broken chan struct{}

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	op       int32
	names    string // a part of the request; empty: no request breaks it
	answered bool   // the request is done, and its answer is lost
	lost     int32  // the request whose answer is
}

func newTripwire(t testing.TB, server string) *tripwire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tripwire{addr: listener.Addr().String(), server: server, broken: make(chan struct{}), listener: listener}
	t.Cleanup(w.cut)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", w.server)
			if err != nil {
				_ = client.Close()
				return
			}
			w.mu.Lock()
			w.conns = append(w.conns, client, server)
			w.mu.Unlock()
			go w.pass(client, server, w.request)
			go w.pass(server, client, w.answer)
		}
	}()
	return w
}

// arm has it break at the next request of a kind that has names in it: before the server sees the request, or after it
// has done it and before the client learns that.
func (w *tripwire) arm(op int32, names string, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.op, w.names, w.answered = op, names, answered
}

// cut ends all connections and lets none be made.
func (w *tripwire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.listener.Close()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}

// pass copies messages for as long as they may go on.
func (w *tripwire) pass(from, to net.Conn, goes func(first bool, body []byte) bool) {
	for first := true; ; first = false {
		message := make([]byte, 4)
		if _, err := io.ReadFull(from, message); err != nil {
			break
		}
		message = append(message, make([]byte, binary.BigEndian.Uint32(message))...)
		if _, err := io.ReadFull(from, message[4:]); err != nil || !goes(first, message[4:]) {
			break
		}
		if _, err := to.Write(message); err != nil {
			break
		}
	}
	_, _ = from.Close(), to.Close()
}

func (w *tripwire) request(first bool, body []byte) bool {
	w.mu.Lock()
	hit := !first && w.names != "" && int32(binary.BigEndian.Uint32(body[4:])) == w.op && bytes.Contains(body, []byte(w.names))
	if hit {
		w.names, w.lost = "", int32(binary.BigEndian.Uint32(body))
	}
	goes := !hit || w.answered
	w.mu.Unlock()
	if !goes {
		w.cut()
		close(w.broken)
	}
	return goes
}

func (w *tripwire) answer(first bool, body []byte) bool {
	w.mu.Lock()
	hit := !first && w.lost != 0 && int32(binary.BigEndian.Uint32(body)) == w.lost
	w.mu.Unlock()
	if hit {
		w.cut()
		close(w.broken)
	}
	return !hit
}
