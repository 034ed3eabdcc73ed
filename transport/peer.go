package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Config says how to open a Peer.
type Config struct {
	// ID is this node's id, 1 to 256 bytes. Required.
	ID string
	// Listen is where others connect to. Required; the Peer closes it.
	Listen net.Listener
	// Advertise is the address, host:port, that others reach Listen at. Default its own address, which is of
	// no use when it is a wildcard.
	Advertise string
	// TLS authenticates both ends; nil sends everything in the clear and believes everybody.
	TLS *Certificates
	// Timeout bounds connecting and one call. Default 2 s. Too short fails calls whose entries a slow disk
	// is still storing; long makes a node slow to notice that a silent link is back.
	Timeout time.Duration
	// HandshakeTimeout bounds what a connection may take to show who it is. Default 2 s.
	HandshakeTimeout time.Duration
	// Logger. Default none.
	Logger hclog.Logger
}

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	if c.ID == "" || len(c.ID) > maxName {
		problems = append(problems, fmt.Errorf("peer id %q: 1 to %d bytes are required", c.ID, maxName))
	}
	if c.Listen == nil {
		problems = append(problems, errors.New("peer: no listener"))
	}
	if len(c.Advertise) > maxName {
		problems = append(problems, fmt.Errorf("peer address to advertise: over %d bytes", maxName))
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			problems = append(problems, fmt.Errorf("peer address to advertise: %w", err))
		}
	}
	if c.Timeout < 0 || c.HandshakeTimeout < 0 {
		problems = append(problems, errors.New("peer: a negative timeout"))
	}
	return errors.Join(problems...)
}

// Peer is one node's end of the peer port. All methods may be called from any goroutine.
//
// The NetworkTransport is embedded, not hidden behind raft.Transport: Raft finds out by type assertion
// whether its transport can do pre-votes.
type Peer struct {
	*raft.NetworkTransport

	// Set by Listen, read-only after.
	cfg    Config
	logger hclog.Logger
	stream *stream

	cluster atomic.Pointer[string]
	answer  atomic.Pointer[func() Hello]
	met     atomic.Pointer[func(id, addr string)]
	opinion atomic.Pointer[func(context.Context, Suspicion) Opinion]
	book    book
	losses  losses
}

// Listen starts to serve the peer port. Until SetCluster it answers hellos alone.
func Listen(cfg Config) (*Peer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Advertise = cmp.Or(cfg.Advertise, cfg.Listen.Addr().String())
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Second)
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, 2*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	p := &Peer{
		cfg: cfg, logger: cfg.Logger, book: book{of: make(map[raft.ServerID]Progress)},
		losses: losses{open: make(map[string]int), lost: make(map[string]time.Time)},
	}
	p.cluster.Store(new(string))
	p.stream = newStream(p)
	p.stream.running.Go(p.stream.accept)
	p.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          p.stream,
		MaxPool:         3, // a heartbeat, entries and a vote at once; an idle one costs little
		MaxRPCsInFlight: 1,
		Timeout:         cfg.Timeout,
		Logger:          cfg.Logger,
	})
	return p, nil
}

// ID is this node's id.
func (p *Peer) ID() string { return p.cfg.ID }

// Cluster is the id that SetCluster was given, empty before.
func (p *Peer) Cluster() string { return *p.cluster.Load() }

// SetCluster names the cluster that this node belongs to, and lets Raft's calls in from its members.
func (p *Peer) SetCluster(id string) { p.cluster.Store(&id) }

// OnMeet has met called with the id and the address of every member that connects for Raft's calls. It may be called
// from many goroutines at once and must not block.
func (p *Peer) OnMeet(met func(id, addr string)) { p.met.Store(&met) }

// Fence stops the node from sending and receiving, for good: whatever it still does, nobody hears of it.
// Calls fail with err from now on. It does not wait.
func (p *Peer) Fence(err error) { p.stream.end(err) }

// Close ends every connection and goroutine of the Peer. It may be called more than once.
func (p *Peer) Close() error {
	p.stream.end(net.ErrClosed)
	return p.NetworkTransport.Close()
}

// SetHeartbeatHandler ignores the handler: heartbeats that bypass Raft's main loop can raise the term behind
// its back and make two leaders in one term (hashicorp/raft issue 695).
func (p *Peer) SetHeartbeatHandler(func(raft.RPC)) {}

// EncodePeer and DecodePeer are the NetworkTransport's: addresses are plain bytes in Raft's headers. The
// calls below name the node as well as its address, so that whoever took over an address is found out.

// AppendEntries implements raft.Transport, and notes the answer.
func (p *Peer) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	started := time.Now()
	if err := p.NetworkTransport.AppendEntries(id, target(id, addr), args, resp); err != nil {
		return p.why(err)
	}
	if resp.Term == args.Term {
		match := uint64(0)
		if resp.Success {
			match = matched(args)
		}
		p.book.note(id, args.Term, started, match)
	}
	return nil
}

// InstallSnapshot implements raft.Transport, and notes the answer.
func (p *Peer) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := p.NetworkTransport.InstallSnapshot(id, target(id, addr), args, resp, data); err != nil {
		return p.why(err)
	}
	if resp.Success && resp.Term == args.Term {
		p.book.note(id, args.Term, time.Time{}, args.LastLogIndex)
	}
	return nil
}

// RequestVote implements raft.Transport.
func (p *Peer) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return p.why(p.NetworkTransport.RequestVote(id, target(id, addr), args, resp))
}

// RequestPreVote implements raft.WithPreVote.
func (p *Peer) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return p.why(p.NetworkTransport.RequestPreVote(id, target(id, addr), args, resp))
}

// TimeoutNow implements raft.Transport.
func (p *Peer) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return p.why(p.NetworkTransport.TimeoutNow(id, target(id, addr), args, resp))
}

// why prefers the reason of a fence to what it did to a connection.
func (p *Peer) why(err error) error {
	if err != nil && p.stream.ctx.Err() != nil {
		return context.Cause(p.stream.ctx)
	}
	return err
}
