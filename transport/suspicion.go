package transport

import (
	"context"
	"net"
	"time"
)

// Suspicion is a question to a voter: is the leader of this term dead, as far as you see?
type Suspicion struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
}

// Opinion is what a voter answers.
type Opinion struct {
	// Agrees: it has lost the leader, has heard nothing from it since, and is refused where the leader listened.
	Agrees bool `json:"agrees"`
	// LastTerm and LastIndex are of the voter's last entry: who has less cannot win.
	LastTerm  uint64 `json:"last_term"`
	LastIndex uint64 `json:"last_index"`
}

// ServeSuspicion says what to answer to members of the cluster who suspect its leader; until it is called nobody
// agrees. opinion may be called from many goroutines at once, with a context of at most HandshakeTimeout.
func (p *Peer) ServeSuspicion(opinion func(context.Context, Suspicion) Opinion) {
	p.opinion.Store(&opinion)
}

// Suspect asks the voter id at addr for its opinion.
func (p *Peer) Suspect(ctx context.Context, id, addr string, s Suspicion) (o Opinion, err error) {
	err = p.exchange(ctx, purposeSuspicion, id, addr, func(conn net.Conn) error {
		if err := writeFrame(conn, s); err != nil {
			return err
		}
		return readFrame(conn, &o)
	})
	return o, err
}

// serveSuspicion answers on a connection whose preamble was right; its deadline is still the handshake's.
func (p *Peer) serveSuspicion(conn net.Conn) error {
	var s Suspicion
	if err := readFrame(conn, &s); err != nil {
		return err
	}
	var o Opinion
	if opinion := p.opinion.Load(); opinion != nil {
		ctx, cancel := context.WithTimeout(p.stream.ctx, p.cfg.HandshakeTimeout)
		defer cancel()
		o = (*opinion)(ctx, s)
	}
	return writeFrame(conn, o)
}

// exchange has a short talk with the node id at addr. ctx bounds it, and so does the Timeout of the configuration.
func (p *Peer) exchange(ctx context.Context, why purpose, id, addr string, talk func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	conn, err := p.stream.dial(ctx, why, id, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(conn)
}
