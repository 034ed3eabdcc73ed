package zklog

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"
)

// link is one TCP connection to a server, as the client library uses it. It mends two things of the library: the
// answer to the first request is waited for as long as other answers are, not ten times as long, so that a server
// which stands still is left for another in time; and the session timeout that the server grants, which that answer
// carries, is made known.
type link struct {
	net.Conn
	greeting time.Duration // what the first answer may take
	granted  *atomic.Int64 // nanoseconds
	first    []byte        // the beginning of the first answer: its length, the protocol, the timeout in ms
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
