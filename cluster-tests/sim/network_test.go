package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/cluster-tests/history"
)

// callTimeout is when a caller gives up, as over TCP.
const callTimeout = 2 * time.Second

var (
	errTimeout = errors.New("no answer in time")
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset")
)

// link is one direction between two members.
type link struct {
	cut   bool
	loss  float64       // share of messages that do not arrive
	delay time.Duration // at least; a quarter more at random
	tail  float64       // share of messages that take up to a second
}

// network carries messages between the lives of members. Each leg of a call is judged by itself, when it sets out.
type network struct {
	mu      sync.Mutex
	rng     *rand.Rand
	links   map[[2]string]*link // from, to: ids
	at      map[string]*port    // by address: the life that listens there
	leaders map[uint64]string   // by term: who sent entries as its leader
	broken  []history.Violation
	calls   int
}

func newNetwork(rng *rand.Rand) *network {
	return &network{rng: rng, links: map[[2]string]*link{}, at: map[string]*port{}, leaders: map[uint64]string{}}
}

// set changes the links between two members, one way.
func (n *network) set(from, to string, change func(*link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n.link(from, to))
}

// heal makes every link good.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = map[[2]string]*link{}
}

// link is one direction. The caller holds mu.
func (n *network) link(from, to string) *link {
	l, ok := n.links[[2]string{from, to}]
	if !ok {
		l = &link{delay: 200 * time.Microsecond}
		n.links[[2]string{from, to}] = l
	}
	return l
}

// leg is how long a message takes, and whether it arrives at all.
func (n *network) leg(from, to string) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	l := n.link(from, to)
	if l.cut || n.rng.Float64() < l.loss {
		return 0, false
	}
	d := l.delay + time.Duration(n.rng.Int64N(int64(l.delay/4+1)))
	if n.rng.Float64() < l.tail {
		d += time.Duration(n.rng.Int64N(int64(time.Second)))
	}
	return d, true
}

func (n *network) listen(p *port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[p.addr] = p
}

func (n *network) find(addr string) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at[addr]
}

// call carries a request to the member id at addr and its answer back. serve runs on the other side.
func call[T any](from *port, id, addr string, serve func(*port) (T, error)) (answer T, err error) {
	deadline := time.Now().Add(callTimeout)
	silence := func() (T, error) {
		var none T
		wait(from.done, time.Until(deadline))
		return none, errTimeout
	}
	if from.fenced() {
		return answer, errReset
	}
	there, arrives := from.net.leg(from.id, id)
	if !arrives {
		return silence()
	}
	wait(from.done, there)
	to := from.net.find(addr)
	if to == nil || to.id != id || to.fenced() {
		return answer, errRefused
	}
	type result struct {
		answer T
		err    error
	}
	served := make(chan result, 1)
	go func() {
		a, err := serve(to)
		served <- result{a, err}
	}()
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	var r result
	select {
	case r = <-served:
	case <-to.done:
		return answer, errReset
	case <-from.done:
		return answer, errReset
	case <-timeout.C:
		return answer, errTimeout
	}
	back, arrives := from.net.leg(id, from.id)
	if !arrives {
		return silence()
	}
	wait(from.done, back)
	return r.answer, r.err
}

// leads notes who sends entries in a term. Two in one term are the end of Raft.
func (n *network) leads(term uint64, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before, known := n.leaders[term]; known && before != id {
		n.broken = append(n.broken, history.Violation{Checker: "one leader a term", What: fmt.Sprintf("%s and %s in term %d", before, id, term)})
	}
	n.leaders[term] = id
}

// wait sleeps, unless done is closed before.
func wait(done <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
}

// copyEntries gives the receiver entries of its own.
func copyEntries(args *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	own := *args
	own.Entries = make([]*raft.Log, len(args.Entries))
	for i, e := range args.Entries {
		c := *e
		c.Data, c.Extensions = append([]byte(nil), e.Data...), append([]byte(nil), e.Extensions...)
		own.Entries[i] = &c
	}
	return &own
}
