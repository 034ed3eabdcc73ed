package transport

import (
	"context"
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
	// Voters are the ids of the members that vote, as far as the node's log knows.
	Voters []string `json:"voters,omitempty"`
	// Wall is the node's clock, for who compares clocks.
	Wall time.Time `json:"wall"`
	// Testimony is what the node's state machine says that it holds, for who compares replicas.
	Testimony []byte `json:"testimony,omitempty"`
}

// ServeHello says what to answer to a hello; until it is called the node says its id alone. answer may be
// called from many goroutines at once and must not block.
func (p *Peer) ServeHello(answer func() Hello) { p.answer.Store(&answer) }

// Hello asks the node at addr, which must be id, for its hello. ctx bounds it, and so does the Timeout of
// the configuration.
func (p *Peer) Hello(ctx context.Context, id, addr string) (h Hello, err error) {
	err = p.exchange(ctx, purposeHello, id, addr, func(conn net.Conn) error { return readFrame(conn, &h) })
	return h, err
}

// serveHello answers on a connection whose preamble was right; its deadline is still the handshake's.
func (p *Peer) serveHello(conn net.Conn) error {
	h := Hello{ID: p.cfg.ID, Wall: time.Now()}
	if answer := p.answer.Load(); answer != nil {
		h = (*answer)()
	}
	return writeFrame(conn, h)
}
