package transport

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// Hello is what a node says of itself to whoever asks over the peer port, before either trusts the other.
type Hello struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster,omitempty"` // empty while the node belongs to none
	// Nonce was drawn when the node's directory was made: a directory that was emptied has another.
	Nonce string `json:"nonce,omitempty"`
	// Members is the list of initial members that the node was given, id to address.
	Members map[string]string `json:"members,omitempty"`
	// Empty: the node's directory holds no log, no vote and no snapshot.
	Empty bool `json:"empty,omitempty"`
	// Founding is the nonce of every founder, where the node knows them.
	Founding map[string]string `json:"founding,omitempty"`
	// Servers are the members that the node's log knows, id to address.
	Servers map[string]string `json:"servers,omitempty"`
	// Wall is the node's clock, for who compares clocks.
	Wall time.Time `json:"wall"`
	// Testimony is what the node's state machine says that it holds, for who compares replicas.
	Testimony []byte `json:"testimony,omitempty"`
}

const maxHello = 64 << 10 // bytes of a frame

// ServeHello says what to answer to a hello; until it is called the node says its id alone. answer may be
// called from many goroutines at once and must not block.
func (p *Peer) ServeHello(answer func() Hello) { p.answer.Store(&answer) }

// Hello asks the node at addr, which must be id, for its hello. ctx bounds it, and so does the Timeout of
// the configuration.
func (p *Peer) Hello(ctx context.Context, id, addr string) (Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	conn, err := p.stream.dial(ctx, purposeHello, id, addr)
	if err != nil {
		return Hello{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return Hello{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	return readHello(conn)
}

func readHello(r io.Reader) (Hello, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return Hello{}, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxHello {
		return Hello{}, fmt.Errorf("hello of %d bytes, at most %d", n, maxHello)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return Hello{}, err
	}
	var h Hello
	if err := json.Unmarshal(b, &h); err != nil {
		return Hello{}, fmt.Errorf("decode hello: %w", err)
	}
	return h, nil
}

// serveHello answers on a connection whose preamble was right; its deadline is still the handshake's.
func (p *Peer) serveHello(conn net.Conn) error {
	h := Hello{ID: p.cfg.ID, Wall: time.Now()}
	if answer := p.answer.Load(); answer != nil {
		h = (*answer)()
	}
	b, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode hello: %w", err)
	}
	if len(b) > maxHello {
		return fmt.Errorf("hello of %d bytes, at most %d", len(b), maxHello)
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}
