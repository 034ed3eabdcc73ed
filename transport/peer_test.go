package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func peer(t *testing.T, id, cluster string, change func(*Config)) *Peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{ID: id, Listen: l, HandshakeTimeout: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	p, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.SetCluster(cluster)
	return p
}

// answers lets p answer every call of Raft as its main loop would, until the test ends.
func answers(t *testing.T, p *Peer, answer func(command any) any) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case rpc := <-p.Consumer():
				if rpc.Reader != nil {
					_, _ = io.Copy(io.Discard, rpc.Reader)
				}
				rpc.Respond(answer(rpc.Command), nil)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

func term(n uint64) func(any) any {
	return func(command any) any {
		switch command.(type) {
		case *raft.AppendEntriesRequest:
			return &raft.AppendEntriesResponse{Term: n, Success: true}
		case *raft.InstallSnapshotRequest:
			return &raft.InstallSnapshotResponse{Term: n, Success: true}
		default:
			return &raft.TimeoutNowResponse{}
		}
	}
}

// Raft is told by the type alone that its transport can do pre-votes, and the heartbeat fast path must not
// come back by a library's update.
func TestPeerIsTheTransportThatRaftWants(t *testing.T) {
	p := peer(t, "n1", "c", nil)
	if _, ok := any(p).(raft.WithPreVote); !ok {
		t.Error("no pre-vote")
	}
	if _, err := p.AppendEntriesPipeline("n2", "127.0.0.1:1"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("pipelining: %v", err)
	}
	q := peer(t, "n2", "c", nil)
	q.SetHeartbeatHandler(func(raft.RPC) { t.Error("a heartbeat took the fast path") })
	answers(t, q, term(1))
	heartbeat := &raft.AppendEntriesRequest{Term: 1, RPCHeader: raft.RPCHeader{Addr: []byte("x")}}
	if err := p.AppendEntries("n2", q.LocalAddr(), heartbeat, new(raft.AppendEntriesResponse)); err != nil {
		t.Fatal(err)
	}
}

// What is noted: the start of the last call answered in the term, and how far the logs match. An answer in
// another term notes nothing, a new term forgets the old.
func TestProgressIsOfTheTerm(t *testing.T) {
	p, q := peer(t, "n1", "c", nil), peer(t, "n2", "c", nil)
	answers(t, q, term(7))
	send := func(args *raft.AppendEntriesRequest) {
		t.Helper()
		if err := p.AppendEntries("n2", q.LocalAddr(), args, new(raft.AppendEntriesResponse)); err != nil {
			t.Fatal(err)
		}
	}
	progressed := p.Progressed()
	send(&raft.AppendEntriesRequest{Term: 6, PrevLogEntry: 3})
	if got := p.Progress("n2", 6); got.Match != 0 || !got.Answered.IsZero() {
		t.Errorf("an answer in term 7 to a call of term 6 was noted: %+v", got)
	}
	select {
	case <-progressed:
		t.Error("progress was announced where there was none")
	default:
	}

	before := time.Now()
	send(&raft.AppendEntriesRequest{Term: 7, PrevLogEntry: 4, Entries: []*raft.Log{{Index: 5}, {Index: 6}}})
	after := time.Now()
	got := p.Progress("n2", 7)
	if got.Match != 6 || got.Answered.Before(before) || got.Answered.After(after) {
		t.Errorf("after entries up to 6: %+v", got)
	}
	<-progressed
	send(&raft.AppendEntriesRequest{Term: 7})
	if again := p.Progress("n2", 7); again.Match != 6 || !again.Answered.After(got.Answered) {
		t.Errorf("after a heartbeat: %+v, before it %+v", again, got)
	}
	snapshot := &raft.InstallSnapshotRequest{Term: 7, LastLogIndex: 40, Size: 4}
	if err := p.InstallSnapshot("n2", q.LocalAddr(), snapshot, new(raft.InstallSnapshotResponse), strings.NewReader("data")); err != nil {
		t.Fatal(err)
	}
	if got := p.Progress("n2", 7); got.Match != 40 {
		t.Errorf("after a snapshot up to 40: %+v", got)
	}
	if got := p.Progress("n2", 8); got.Match != 0 || !got.Answered.IsZero() {
		t.Errorf("in the next term: %+v", got)
	}
}

// Each stranger is told why and gets no further than the preamble: Raft hears of none of them.
func TestStrangersDoNotReachRaft(t *testing.T) {
	p := peer(t, "n1", "c", nil)
	answers(t, p, func(command any) any {
		t.Errorf("raft was reached: %+v", command)
		return nil
	})
	for _, test := range []struct {
		name, cluster, to string
		want              error
	}{
		{"of another cluster", "d", "n1", ErrOtherCluster},
		{"of no cluster", "", "n1", ErrOtherCluster},
		{"who means another node", "c", "n2", ErrOtherNode},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := peer(t, "n9", test.cluster, nil)
			err := q.TimeoutNow(raft.ServerID(test.to), p.LocalAddr(), &raft.TimeoutNowRequest{}, new(raft.TimeoutNowResponse))
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("of another protocol", func(t *testing.T) {
		conn, err := net.Dial("tcp", string(p.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(conn) // a reset is an end, too
		if len(b) > 1 || len(b) == 1 && verdict(b[0]) != unknownProtocol {
			t.Errorf("answered %q", b)
		}
	})
}

// Connections that say nothing are closed in time, and however many there are, members get in afterwards.
func TestSilentConnectionsAreDropped(t *testing.T) {
	p := peer(t, "n1", "c", func(cfg *Config) { cfg.HandshakeTimeout = 50 * time.Millisecond })
	var silent []net.Conn
	for range 2 * maxHandshakes {
		conn, err := net.Dial("tcp", string(p.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	q := peer(t, "n2", "c", func(cfg *Config) { cfg.Timeout = 30 * time.Second })
	if _, err := q.Hello(t.Context(), "n1", string(p.LocalAddr())); err != nil {
		t.Errorf("a member behind silent connections: %v", err)
	}
	for _, conn := range silent {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a silent connection: %v, want it closed", err)
		}
	}
}

// A hello works between nodes that share no cluster yet, and both ends bound it.
func TestHello(t *testing.T) {
	p, q := peer(t, "n1", "", nil), peer(t, "n2", "", nil)
	got, err := p.Hello(t.Context(), "n2", string(q.LocalAddr()))
	if err != nil || got.ID != "n2" || got.Wall.IsZero() {
		t.Errorf("before ServeHello: %+v, %v", got, err)
	}
	q.ServeHello(func() Hello { return Hello{ID: "n2", Nonce: "x", Members: map[string]string{"n1": "a"}} })
	if got, err = p.Hello(t.Context(), "n2", string(q.LocalAddr())); err != nil || got.Nonce != "x" || got.Members["n1"] != "a" {
		t.Errorf("after: %+v, %v", got, err)
	}
	if _, err := p.Hello(t.Context(), "n3", string(q.LocalAddr())); !errors.Is(err, ErrOtherNode) {
		t.Errorf("a hello for who is not there: %v", err)
	}
	q.ServeHello(func() Hello { return Hello{Nonce: strings.Repeat("x", maxFrame)} })
	if _, err := p.Hello(t.Context(), "n2", string(q.LocalAddr())); err == nil {
		t.Error("a hello that is too long was sent")
	}
	if err := readFrame(strings.NewReader("\xff\xff\xff\xff"), new(Hello)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a hello that announces 4 GiB: %v, want it refused before it is read", err)
	}
}

// After a fence nothing goes out or comes in, on old connections neither, and the reason is what callers get.
func TestFence(t *testing.T) {
	p, q := peer(t, "n1", "c", nil), peer(t, "n2", "c", nil)
	answers(t, p, term(1))
	answers(t, q, term(1))
	call := func(from, to *Peer) error {
		return from.AppendEntries(raft.ServerID(to.ID()), to.LocalAddr(), &raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse))
	}
	if err := errors.Join(call(p, q), call(q, p)); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("the disk is gone")
	p.Fence(reason)
	if err := call(p, q); !errors.Is(err, reason) {
		t.Errorf("sent after the fence: %v", err)
	}
	if err := call(q, p); err == nil {
		t.Error("heard after the fence")
	}
}

// Whatever is sent, a preamble is read whole or refused, and never read past its end.
func FuzzPreamble(f *testing.F) {
	f.Add(preamble{purposeRaft, "c", "n1", "n2", "h:1"}.append(nil))
	f.Add([]byte("RGRD\x01r\xff\xff"))
	f.Add([]byte("GET / HTTP/1.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := strings.NewReader(string(b))
		p, err := readPreamble(r)
		if err != nil {
			return
		}
		if whole := string(p.append(nil)) + string(b[len(b)-r.Len():]); whole != string(b) {
			t.Errorf("%q was read as %+v", b, p)
		}
	})
}
