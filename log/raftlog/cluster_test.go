package raftlog_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
	"github.com/registrard/registrard/transport/transporttest"
)

// patience bounds every wait; only a failing test waits for it.
const patience = 30 * time.Second

type result = logtest.Result

// cluster is members on loopback with their directories, which outlive a member's stop.
type cluster struct {
	t       testing.TB
	dir     string
	initial map[string]string // id to address of the founders
	cuts    *cuts
	adjust  func(*raftlog.Config)
	wrap    func(id string, m *logtest.Machine) log.StateMachine[result] // what a member drives, m by default
	members map[string]*member
}

// member is one run of a member.
type member struct {
	*raftlog.Log[result]
	id      string
	machine *logtest.Machine
	peer    *transport.Peer
}

// newCluster reserves an address for each founder; nothing runs yet.
func newCluster(t testing.TB, founders ...string) *cluster {
	c := &cluster{
		t:       t,
		dir:     t.TempDir(),
		initial: make(map[string]string),
		cuts:    &cuts{cut: make(map[[2]string]bool), deaf: make(map[string]bool)},
		members: make(map[string]*member),
	}
	for _, id := range founders {
		c.initial[id] = transporttest.Address(t)
	}
	t.Cleanup(c.stopAll)
	return c
}

// runCluster is a cluster whose founders all run.
func runCluster(t testing.TB, founders ...string) *cluster {
	t.Helper()
	c := newCluster(t, founders...)
	c.startAll()
	return c
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *cluster) dirOf(id string) string { return filepath.Join(c.dir, id) }

// config is for a founder; the address is the one that was reserved, or any for others.
func (c *cluster) config(id string) (raftlog.Config, *transport.Peer) {
	c.t.Helper()
	addr := c.initial[id]
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	peer, err := transport.Listen(transport.Config{ID: id, Listen: listen(c.t, addr), Logger: quiet(id)})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := raftlog.Config{
		ID:             id,
		Dir:            c.dirOf(id),
		Transport:      &link{peer, c.cuts},
		InitialMembers: maps.Clone(c.initial),
		SegmentBytes:   1 << 20,
		Logger:         quiet(id),
	}
	if c.initial[id] == "" {
		cfg.InitialMembers = nil
	}
	if c.adjust != nil {
		c.adjust(&cfg)
	}
	return cfg, peer
}

// quiet logs what needs a person, as a failing test's output would show it.
func quiet(id string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: id, Level: hclog.Off})
}

// try opens a member with a config that may have been changed, and a machine.
func (c *cluster) try(ctx context.Context, cfg raftlog.Config, peer *transport.Peer, m *logtest.Machine) (*member, error) {
	var driven log.StateMachine[result] = m
	if c.wrap != nil {
		driven = c.wrap(cfg.ID, m)
	}
	l, err := raftlog.Open(ctx, cfg, driven)
	if err != nil {
		return nil, err
	}
	return &member{l, cfg.ID, m, peer}, nil
}

// start opens a member as a restart with the same flags would.
func (c *cluster) start(id string) *member {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg, peer := c.config(id)
	m, err := c.try(ctx, cfg, peer, logtest.NewMachine())
	if err != nil {
		c.t.Fatalf("open %s: %v", id, err)
	}
	c.members[id] = m
	return m
}

// startAll opens all founders that do not run, at once.
func (c *cluster) startAll() {
	c.t.Helper()
	var (
		opening sync.WaitGroup
		mu      sync.Mutex
		opened  = make(map[string]*member)
	)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for id := range c.initial {
		if c.members[id] != nil {
			continue
		}
		cfg, peer := c.config(id)
		opening.Go(func() {
			m, err := c.try(ctx, cfg, peer, logtest.NewMachine())
			if err != nil {
				c.t.Errorf("open %s: %v", id, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			opened[id] = m
		})
	}
	opening.Wait()
	maps.Copy(c.members, opened)
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// join starts a member that asks whoever leads to add it.
func (c *cluster) join(id string) *member {
	c.t.Helper()
	m, err := c.tryJoin(id)
	if err != nil {
		c.t.Fatalf("join %s: %v", id, err)
	}
	return m
}

func (c *cluster) tryJoin(id string) (*member, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	leader := c.leader()
	cfg, peer := c.config(id)
	cfg.InitialMembers = nil
	cfg.Join = func(ctx context.Context) (string, error) {
		err := leader.Add(ctx, log.Replica{ID: id, Addr: string(peer.LocalAddr())})
		return leader.Status().Cluster, err
	}
	m, err := c.try(ctx, cfg, peer, logtest.NewMachine())
	if err == nil {
		c.members[id] = m
	}
	return m, err
}

// listed is what a member's list says of another; the zero Replica where it is not there.
func (m *member) listed(t testing.TB, id string) log.Replica {
	list, err := m.List(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, r := range list {
		if r.ID == id {
			return r
		}
	}
	return log.Replica{}
}

func (c *cluster) stop(id string) {
	c.t.Helper()
	if m := c.members[id]; m != nil {
		delete(c.members, id)
		if err := m.Close(); err != nil {
			c.t.Errorf("close %s: %v", id, err)
		}
		for _, breach := range m.machine.Breaches() {
			c.t.Errorf("%s broke the machine's contract: %s", id, breach)
		}
	}
}

func (c *cluster) stopAll() {
	var stopping sync.WaitGroup
	for id, m := range c.members {
		if m.Log == nil {
			continue // it was not opened any more
		}
		stopping.Go(func() {
			if err := m.Close(); err != nil {
				c.t.Errorf("close %s: %v", id, err)
			}
		})
	}
	stopping.Wait()
	c.members = make(map[string]*member)
}

// leader waits for an open reign among the members that run.
func (c *cluster) leader() *member {
	c.t.Helper()
	return c.leaderAmong(slices.Collect(maps.Keys(c.members))...)
}

func (c *cluster) leaderAmong(ids ...string) *member {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found := make(chan *member, len(ids))
	for _, id := range ids {
		m := c.members[id]
		go func() {
			if _, err := m.Lead(ctx); err == nil {
				found <- m
			}
		}()
	}
	select {
	case m := <-found:
		return m
	case <-ctx.Done():
		for id, m := range c.members {
			c.t.Logf("%s: %+v, %v", id, m.Status(), m.Err())
		}
		c.t.Fatalf("nobody leads among %v", ids)
		return nil
	}
}

// lead makes the member lead.
func (c *cluster) lead(id string) context.Context {
	c.t.Helper()
	reign, err := c.tryLead(id)
	if err != nil {
		c.t.Fatalf("%s does not lead: %v", id, err)
	}
	return reign
}

// tryLead gives up when the member halts.
func (c *cluster) tryLead(id string) (context.Context, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if l := c.leader(); l.id != id {
			_ = l.Transfer(ctx, id) // may fail when leadership moved by itself
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		reign, err := c.members[id].Lead(short)
		cancel()
		if err == nil || ctx.Err() != nil || c.members[id].Err() != nil {
			return reign, err
		}
	}
}

// stand has a member stand for election now.
func (c *cluster) stand(id string) {
	c.t.Helper()
	to := c.members[id].peer
	for other, by := range c.members {
		if other == id {
			continue
		}
		header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
		if err := by.peer.TimeoutNow(raft.ServerID(id), to.LocalAddr(), &raft.TimeoutNowRequest{RPCHeader: header}, new(raft.TimeoutNowResponse)); err != nil {
			c.t.Fatal(err)
		}
		return
	}
}

// propose proposes where the leader is until it is acknowledged.
func (c *cluster) propose(command string) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		r, err := c.leader().Propose(ctx, []byte(command))
		if err == nil {
			return r.Index
		}
		if errors.Is(err, log.ErrUncertain) || ctx.Err() != nil {
			c.t.Fatalf("propose %q: %v", command, err)
		}
	}
}

// agree waits until every member that runs holds the same commands, and returns them.
func (c *cluster) agree(index uint64) []string {
	c.t.Helper()
	var want []logtest.Entry
	for _, id := range slices.Sorted(maps.Keys(c.members)) {
		m := c.members[id]
		eventually(c.t, id+" has applied everything", func() bool { return m.Status().Applied >= index })
		if got := m.machine.Entries(); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			c.t.Fatalf("%s holds\n%v\nanother member\n%v", id, got, want)
		}
	}
	var commands []string
	for _, e := range want {
		commands = append(commands, e.Command)
	}
	return commands
}

// eventually polls for what raft tells nobody.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
