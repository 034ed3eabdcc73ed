package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
	"github.com/registrard/registrard/transport/transporttest"
)

// patience bounds every wait; only a failing test waits for it.
const patience = 30 * time.Second

// forged is a registry that reads one agent's name as another, as a fault of memory would.
type forged struct {
	*fsm.Registry
	read, as string
}

func (m *forged) Apply(index uint64, frame []byte) (fsm.Result, error) {
	if m.read != "" {
		frame = bytes.ReplaceAll(frame, []byte(m.read), []byte(m.as))
	}
	return m.Registry.Apply(index, frame)
}

// replicas are three registrars on Raft, over loopback.
type replicas struct {
	t       *testing.T
	dir     string
	initial map[string]string
	logs    map[string]*raftlog.Log[fsm.Result]
	nodes   map[string]*Registrar
	ends    []func()
}

func newReplicas(t *testing.T) *replicas {
	rs := &replicas{t: t, dir: t.TempDir(), initial: map[string]string{},
		logs: map[string]*raftlog.Log[fsm.Result]{}, nodes: map[string]*Registrar{}}
	for _, id := range []string{"n1", "n2", "n3"} {
		rs.initial[id] = transporttest.Address(t)
	}
	t.Cleanup(rs.end)
	return rs
}

// run starts all three; who names the one that is forged.
func (rs *replicas) run(who string, m forged) {
	var opening sync.WaitGroup
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for id := range rs.initial {
		listen, err := net.Listen("tcp", rs.initial[id])
		if err != nil {
			rs.t.Fatal(err)
		}
		peer, err := transport.Listen(transport.Config{ID: id, Listen: listen})
		if err != nil {
			rs.t.Fatal(err)
		}
		machine := &forged{Registry: fsm.New()}
		if id == who {
			machine.read, machine.as = m.read, m.as
		}
		opening.Go(func() {
			l, err := raftlog.Open(ctx, raftlog.Config{ID: id, Dir: filepath.Join(rs.dir, id), Transport: peer,
				InitialMembers: rs.initial, SegmentBytes: 1 << 20}, machine)
			if err != nil {
				rs.t.Errorf("open %s: %v", id, err)
				return
			}
			cfg := Defaults(id)
			cfg.CompareInterval = 20 * time.Millisecond
			node, err := New(cfg, l, machine.Registry)
			if err != nil {
				rs.t.Errorf("new %s: %v", id, err)
				return
			}
			running, stop := context.WithCancel(context.Background())
			ran := make(chan struct{})
			go func() {
				defer close(ran)
				_ = node.Run(running)
			}()
			mu.Lock()
			defer mu.Unlock()
			rs.logs[id], rs.nodes[id] = l, node
			rs.ends = append(rs.ends, func() {
				stop()
				<-ran
				_ = l.Close() // says again why it halted
			})
		})
	}
	opening.Wait()
	if rs.t.Failed() {
		rs.t.FailNow()
	}
}

func (rs *replicas) end() {
	var ending sync.WaitGroup
	for _, end := range rs.ends {
		ending.Go(end)
	}
	ending.Wait()
	rs.ends = nil
}

// admit has whoever leads admit an agent, until that is done.
func (rs *replicas) admit(id string) {
	rs.t.Helper()
	object, err := fsm.AgentInfo{ID: id, Hostname: "h"}.Object()
	if err != nil {
		rs.t.Fatal(err)
	}
	op := fsm.AdmitAgent{Agent: object}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for _, node := range rs.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := node.Propose(ctx, []fsm.Proposal{{Op: op, RequestID: "admit-" + id}})
			cancel()
			if err == nil {
				return
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	rs.t.Fatalf("%s was not admitted", id)
}

// halted waits until a node has halted and returns why.
func (rs *replicas) halted(id string) *fsm.Diverged {
	rs.t.Helper()
	select {
	case <-rs.logs[id].Done():
	case <-time.After(patience):
		rs.t.Fatalf("%s goes on", id)
	}
	var parted *fsm.Diverged
	if err := rs.logs[id].Err(); !errors.As(err, &parted) || !errors.Is(err, log.ErrHalted) {
		rs.t.Fatalf("%s halted because of %v", id, err)
	}
	return parted
}

// One member reads one frame as another, whether it leads or follows: it halts at the next checkpoint, the others go
// on, and started again from what it has it halts at the same one; once it reads right, it replays and goes on.
func TestAMemberThatPartedHalts(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"a follower", "the leader"} {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			rs := newReplicas(t)
			// n1 is the odd one; which role it has is seen to below.
			odd := forged{read: "the-one", as: "the-two"}
			rs.run("n1", odd)
			rs.admit("first")
			rs.role("n1", c == "the leader")
			for i := range 70 {
				rs.admit(fmt.Sprintf("before-%d", i))
			}
			rs.admit("the-one")
			for i := range 70 {
				rs.admit(fmt.Sprintf("after-%d", i))
			}
			parted := rs.halted("n1")
			if parted.Own == parted.Chain || parted.Agreed >= parted.Index {
				t.Errorf("%+v", parted)
			}
			rs.admit("on")
			for _, id := range []string{"n2", "n3"} {
				if err := rs.logs[id].Err(); err != nil {
					t.Errorf("%s halted: %v", id, err)
				}
			}
			rs.end()
			rs.run("n1", odd)
			if again := rs.halted("n1"); again.Recorded != parted.Recorded {
				t.Errorf("started again it halts at %d, and before at %d", again.Recorded, parted.Recorded)
			}
			rs.end()
			rs.run("n1", forged{})
			rs.admit("well again")
			rs.holds("n1", "well again")
		})
	}
}

// role sees to it that a member leads, or does not.
func (rs *replicas) role(id string, leads bool) {
	rs.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for rs.logs[id].Status().Role == log.Leader != leads {
		for _, l := range rs.logs {
			if l.Status().Role != log.Leader {
				continue
			}
			to := "" // anybody else
			if leads {
				to = id
			}
			_ = l.Transfer(ctx, to) // may fail when leadership moves by itself
		}
		if ctx.Err() != nil {
			rs.t.Fatalf("leadership does not move")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// holds waits until a member has an agent.
func (rs *replicas) holds(id, agent string) {
	rs.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if _, ok := rs.nodes[id].registry.State().Agent(agent); ok {
			return
		}
		if err := rs.logs[id].Err(); err != nil || time.Now().After(deadline) {
			rs.t.Fatalf("%s does not go on: %v", id, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// What a majority of voters show at the last common index is right, whoever leads; without one nobody is.
func TestJudgeReplicas(t *testing.T) {
	list := []log.Replica{{ID: "a", Voter: true}, {ID: "b", Voter: true}, {ID: "c", Voter: true}, {ID: "d"}}
	at := func(pairs ...any) (ms []fsm.Milestone) {
		for i := 0; i < len(pairs); i += 2 {
			ms = append(ms, fsm.Milestone{Index: uint64(pairs[i].(int)), Chain: pairs[i+1].(string)})
		}
		return ms
	}
	for _, c := range []struct {
		name     string
		shown    map[string][]fsm.Milestone
		majority fsm.Milestone
		astray   []string
	}{
		{"all agree", map[string][]fsm.Milestone{"a": at(1, "x", 2, "y"), "b": at(1, "x", 2, "y"), "c": at(1, "x")}, at(2, "y")[0], nil},
		{"one differs", map[string][]fsm.Milestone{"a": at(1, "z"), "b": at(1, "x"), "c": at(1, "x")}, at(1, "x")[0], []string{"a"}},
		{"a learner differs", map[string][]fsm.Milestone{"a": at(1, "x"), "b": at(1, "x"), "d": at(1, "z")}, at(1, "x")[0], []string{"d"}},
		{"learners do not count", map[string][]fsm.Milestone{"a": at(1, "x"), "d": at(1, "x")}, fsm.Milestone{}, nil},
		{"two, and they differ", map[string][]fsm.Milestone{"a": at(1, "x"), "b": at(1, "z")}, fsm.Milestone{Index: 1}, []string{"a", "b"}},
		{"nothing in common", map[string][]fsm.Milestone{"a": at(1, "x"), "b": at(2, "y")}, fsm.Milestone{}, nil},
	} {
		if majority, astray := judgeReplicas(list, c.shown); majority != c.majority || !slices.Equal(astray, c.astray) {
			t.Errorf("%s: %+v, astray %q", c.name, majority, astray)
		}
	}
}
