package zklog

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is one TCP connection to a server, as the client library uses it. It mends three things of the library: the
// answer to the first request is waited for as long as other answers are, not ten times as long, so that a server
// which stands still is left for another in time; and the session timeout that the server grants, which that answer
// carries, is made known.
type link struct {
	net.Conn
	greeting time.Duration // what the first answer may take
	granted  *atomic.Int64 // nanoseconds
	first    []byte        // the beginning of the first answer: its length, the protocol, the timeout in ms

	// When a session goes on over a new connection, the library reads the last transaction's number to set its watches
	// anew, while it stores that of the first answer: a data race. So that answer is held back until the watches have
	// been sent, or for a moment where there are none. A session that is closed just then sends no watches: the answer
	// to its last request is dropped, and the library ends all the same.
	rewatch chan struct{} // closed once they were sent; nil: nothing is held back
	sent    sync.Once
	quits   atomic.Bool // the session's last request was sent
	held    bool        // of the reader
}

const (
	opSetWatches = 101
	opClose      = -11
	rewatchTime  = 100 * time.Millisecond
)

func (c *link) Write(b []byte) (int, error) {
	if c.rewatch != nil && len(b) >= 12 {
		switch int32(binary.BigEndian.Uint32(b[8:])) {
		case opSetWatches:
			c.sent.Do(func() { close(c.rewatch) })
		case opClose:
			c.quits.Store(true)
		}
	}
	return c.Conn.Write(b)
}

const greetingBytes = 12

func (c *link) SetReadDeadline(t time.Time) error {
	if latest := time.Now().Add(c.greeting); len(c.first) < greetingBytes && t.After(latest) {
		t = latest
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *link) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.rewatch != nil && len(c.first) == greetingBytes && !c.held {
		c.held = true
		select {
		case <-c.rewatch:
		case <-time.After(rewatchTime):
			if c.quits.Load() {
				return 0, net.ErrClosed
			}
		}
	}
	if missing := greetingBytes - len(c.first); missing > 0 {
		c.first = append(c.first, b[:min(n, missing)]...)
		if len(c.first) == greetingBytes {
			if ms := int32(binary.BigEndian.Uint32(c.first[8:])); ms > 0 {
				c.granted.Store(int64(ms) * int64(time.Millisecond))
			}
		}
	}
	return n, err
}
