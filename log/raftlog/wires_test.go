package raftlog_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/transport"
)

// wires joins nodes of the bare library in memory. Every call passes the test, which may hold it or lose it.
type wires struct {
	// fastPath hands heartbeats to the library's handler, past its main loop, as its own TCP transport does.
	// Without it they go where our Peer sends them.
	fastPath bool
	// pass is asked before a call is delivered, and again before its answer is. It may wait.
	pass func(from, to raft.ServerID, args any, answered bool) error
	cut  chan struct{} // closed: nothing is delivered any more

	mu   sync.Mutex
	ends map[raft.ServerID]*end
}

// end is one node's transport.
type end struct {
	wires *wires
	id    raft.ServerID
	calls chan raft.RPC

	mu        sync.Mutex
	heartbeat func(raft.RPC)
}

var errLost = errors.New("the test lost it")

func (w *wires) end(id raft.ServerID) *end {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &end{wires: w, id: id, calls: make(chan raft.RPC)}
	w.ends[id] = e
	return e
}

func (e *end) SetHeartbeatHandler(f func(raft.RPC)) {
	if !e.wires.fastPath {
		new(transport.Peer).SetHeartbeatHandler(f)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heartbeat = f
}

// call is one call and its answer, with the goroutine of the caller.
func call[A any](e *end, to raft.ServerID, args any, data io.Reader, answer *A) error {
	if err := e.wires.pass(e.id, to, args, false); err != nil {
		return err
	}
	e.wires.mu.Lock()
	target := e.wires.ends[to]
	e.wires.mu.Unlock()
	responses := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: args, Reader: data, RespChan: responses}
	target.mu.Lock()
	fast := target.heartbeat
	target.mu.Unlock()
	if a, ok := args.(*raft.AppendEntriesRequest); ok && fast != nil && len(a.Entries) == 0 && a.PrevLogEntry == 0 && a.LeaderCommitIndex == 0 {
		fast(rpc)
	} else {
		select {
		case target.calls <- rpc:
		case <-e.wires.cut:
			return errLost
		}
	}
	select {
	case response := <-responses:
		if err := e.wires.pass(e.id, to, args, true); err != nil || response.Error != nil {
			return errors.Join(err, response.Error)
		}
		*answer = *response.Response.(*A)
		return nil
	case <-e.wires.cut:
		return errLost
	}
}

func (e *end) AppendEntries(id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return call(e, id, args, nil, resp)
}

func (e *end) RequestVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return call(e, id, args, nil, resp)
}

func (e *end) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return call(e, id, args, nil, resp)
}

func (e *end) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return call(e, id, args, data, resp)
}

func (e *end) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return call(e, id, args, nil, resp)
}

func (e *end) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (e *end) Consumer() <-chan raft.RPC                                  { return e.calls }
func (e *end) LocalAddr() raft.ServerAddress                              { return raft.ServerAddress(e.id) }
func (e *end) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte { return []byte(addr) }
func (e *end) DecodePeer(b []byte) raft.ServerAddress                     { return raft.ServerAddress(b) }

// terms is a stable store whose test may hold the writing of a term.
type terms struct {
	*raft.InmemStore
	mu   sync.Mutex
	hold map[uint64]chan struct{} // by term; the write waits until it is closed
}

func (s *terms) SetUint64(key []byte, value uint64) error {
	s.mu.Lock()
	held := s.hold[value]
	s.mu.Unlock()
	if held != nil && string(key) == "CurrentTerm" {
		<-held
	}
	return s.InmemStore.SetUint64(key, value)
}

// tape is a machine that keeps what it was told.
type tape struct {
	mu      sync.Mutex
	entries map[uint64]string
}

func (m *tape) Apply(e *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[e.Index] = string(e.Data)
	return nil
}

func (m *tape) at(index uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[index]
}

func (m *tape) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("not in this test") }
func (m *tape) Restore(io.ReadCloser) error         { return errors.New("not in this test") }

// bare is one node of the library.
type bare struct {
	*raft.Raft
	end   *end
	terms *terms
	tape  *tape
}

// stand makes the node a candidate without asking first.
func (b *bare) stand(t *testing.T) {
	t.Helper()
	responses := make(chan raft.RPCResponse, 1)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
	b.end.calls <- raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: responses}
	if response := <-responses; response.Error != nil {
		t.Fatal(response.Error)
	}
	synctest.Wait()
}

// bareNodes starts three nodes, a, b and c, in a bubble. Nothing times out within a minute.
func bareNodes(t *testing.T, w *wires, notify map[string]chan bool) map[string]*bare {
	w.cut, w.ends = make(chan struct{}), make(map[raft.ServerID]*end)
	var founding raft.Configuration
	for _, id := range []string{"a", "b", "c"} {
		founding.Servers = append(founding.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	nodes := make(map[string]*bare)
	for _, s := range founding.Servers {
		cfg := raft.DefaultConfig()
		cfg.LocalID = s.ID
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = time.Minute, time.Minute, time.Minute
		cfg.Logger = hclog.NewNullLogger()
		cfg.NotifyCh = notify[string(s.ID)]
		node := &bare{
			end:   w.end(s.ID),
			terms: &terms{InmemStore: raft.NewInmemStore(), hold: make(map[uint64]chan struct{})},
			tape:  &tape{entries: make(map[uint64]string)},
		}
		snapshots := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(cfg, node.terms.InmemStore, node.terms, snapshots, node.end, founding); err != nil {
			t.Fatal(err)
		}
		if s.ID == "c" { // as after an election that it lost
			if err := node.terms.SetUint64([]byte("CurrentTerm"), 2); err != nil {
				t.Fatal(err)
			}
		}
		r, err := raft.NewRaft(cfg, node.tape, node.terms.InmemStore, node.terms, snapshots, node.end)
		if err != nil {
			t.Fatal(err)
		}
		node.Raft = r
		nodes[string(s.ID)] = node
	}
	synctest.Wait()
	return nodes
}

// stopNodes ends everything, whatever the test still holds.
func stopNodes(t *testing.T, w *wires, nodes map[string]*bare) {
	close(w.cut)
	for id, node := range nodes {
		if err := node.Shutdown().Error(); err != nil {
			t.Errorf("stop %s: %v", id, err)
		}
	}
}
