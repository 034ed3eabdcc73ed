package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/transport"
)

// port is one life's end of the network: raftlog's Transport. Like transport.Peer it has no heartbeat fast path and no
// pipelining, lets in only members of its cluster, and notes how far others are known to be.
type port struct {
	net      *network
	id, addr string
	consumer chan raft.RPC
	done     chan struct{} // closed when the life is cut off
	once     sync.Once

	mu         sync.Mutex
	cluster    string
	answer     func() transport.Hello
	progress   map[string]transport.Progress
	progressed chan struct{}
}

func newPort(n *network, id, addr string) *port {
	p := &port{net: n, id: id, addr: addr, consumer: make(chan raft.RPC), done: make(chan struct{}), progress: map[string]transport.Progress{}}
	n.listen(p)
	return p
}

func (p *port) fenced() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Fence implements raftlog.Transport.
func (p *port) Fence(error)                                             { p.once.Do(func() { close(p.done) }) }
func (p *port) Close() error                                            { p.Fence(nil); return nil }
func (p *port) Consumer() <-chan raft.RPC                               { return p.consumer }
func (p *port) LocalAddr() raft.ServerAddress                           { return raft.ServerAddress(p.addr) }
func (p *port) SetHeartbeatHandler(func(raft.RPC))                      {}
func (p *port) DecodePeer(b []byte) raft.ServerAddress                  { return raft.ServerAddress(b) }
func (p *port) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

func (p *port) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// A death is silent here: there are no connections to end and no machine to refuse new ones. Who moves is not told of
// by its calls either.
func (p *port) Lost(string) (time.Time, bool)                                               { return time.Time{}, false }
func (p *port) Losses() <-chan struct{}                                                     { return nil }
func (p *port) Refused(context.Context, string) bool                                        { return false }
func (p *port) ServeSuspicion(func(context.Context, transport.Suspicion) transport.Opinion) {}
func (p *port) OnMeet(func(id, addr string))                                                {}
func (p *port) Suspect(context.Context, string, string, transport.Suspicion) (transport.Opinion, error) {
	return transport.Opinion{}, errors.New("nobody is suspected here")
}

func (p *port) SetCluster(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cluster = id
}

func (p *port) of() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cluster
}

func (p *port) ServeHello(answer func() transport.Hello) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *port) Hello(ctx context.Context, id, addr string) (transport.Hello, error) {
	type result struct {
		hello transport.Hello
		err   error
	}
	asked := make(chan result, 1)
	go func() {
		h, err := call(p, id, addr, func(to *port) (transport.Hello, error) {
			to.mu.Lock()
			answer := to.answer
			to.mu.Unlock()
			if answer == nil {
				return transport.Hello{ID: to.id}, nil
			}
			return answer(), nil
		})
		asked <- result{h, err}
	}()
	select {
	case r := <-asked:
		return r.hello, r.err
	case <-ctx.Done():
		return transport.Hello{}, context.Cause(ctx)
	}
}

func (p *port) Progress(id string, term uint64) transport.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := p.progress[id]; got.Term == term {
		return got
	}
	return transport.Progress{Term: term}
}

func (p *port) Progressed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progressed == nil {
		p.progressed = make(chan struct{})
	}
	return p.progressed
}

func (p *port) note(id string, term uint64, started time.Time, match uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.progress[id]
	if term < at.Term {
		return
	}
	if term > at.Term {
		at = transport.Progress{Term: term}
	}
	if started.After(at.Answered) {
		at.Answered = started
	}
	at.Match = max(at.Match, match)
	p.progress[id] = at
	if p.progressed != nil {
		close(p.progressed)
		p.progressed = nil
	}
}

// ask hands one of raft's calls to the other side and copies the answer, which has the caller's type.
func ask[A any](p *port, id raft.ServerID, addr raft.ServerAddress, command any, data []byte, into *A) error {
	answer, err := call(p, string(id), string(addr), func(to *port) (A, error) {
		var none A
		if p.of() == "" || p.of() != to.of() {
			return none, errors.New("not of this cluster")
		}
		responses := make(chan raft.RPCResponse, 1)
		var reader io.Reader
		if data != nil {
			reader = bytes.NewReader(data)
		}
		select {
		case to.consumer <- raft.RPC{Command: command, Reader: reader, RespChan: responses}:
		case <-to.done:
			return none, errReset
		}
		select {
		case r := <-responses:
			if r.Error != nil {
				return none, r.Error
			}
			return *r.Response.(*A), nil
		case <-to.done:
			return none, errReset
		}
	})
	if err == nil {
		*into = answer
	}
	return err
}

func (p *port) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	started := time.Now()
	p.net.leads(args.Term, p.id)
	if err := ask(p, id, addr, copyEntries(args), nil, resp); err != nil {
		return err
	}
	if resp.Term == args.Term {
		match := uint64(0)
		if n := len(args.Entries); resp.Success && n > 0 {
			match = args.Entries[n-1].Index
		} else if resp.Success {
			match = args.PrevLogEntry
		}
		p.note(string(id), args.Term, started, match)
	}
	return nil
}

func (p *port) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	content, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	own := *args
	own.Configuration = append([]byte(nil), args.Configuration...)
	if err := ask(p, id, addr, &own, content, resp); err != nil {
		return err
	}
	if resp.Success && resp.Term == args.Term {
		p.note(string(id), args.Term, time.Time{}, args.LastLogIndex)
	}
	return nil
}

func (p *port) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	own := *args
	return ask(p, id, addr, &own, nil, resp)
}

func (p *port) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	own := *args
	return ask(p, id, addr, &own, nil, resp)
}

func (p *port) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	own := *args
	return ask(p, id, addr, &own, nil, resp)
}
