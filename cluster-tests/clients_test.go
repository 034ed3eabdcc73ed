package clustertests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/cluster-tests/history"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/client"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// The clients of a run. Each draws from a source of its own and asks until the run has them stop.

// turns is how many calls go to an agent's generation before the next one's names are used: unknown answers
// about one agent cost the checker dearly.
const turns = 40

// name gives an agent that others are busy with too.
func (r *run) name(rng *rand.Rand) string {
	return fmt.Sprintf("a%06d-%d", r.turn.Add(1)/turns, 1+rng.IntN(3))
}

var kinds = []string{"agent.admit", "agent.admit", "agent.admit", "agent.update", "agent.update", "agent.reachable", "agent.unreachable",
	"agent.gone", "agent.remove", "agent.drain", "agent.drained", "agent.deactivate", "agent.reactivate"}

// draw makes up an operation.
func (r *run) draw(rng *rand.Rand, client int) history.Call {
	c := history.Call{Client: client, Kind: kinds[rng.IntN(len(kinds))], Agent: r.name(rng), RequestID: fmt.Sprintf("%d-%x", client, rng.Uint64())}
	if r.hasty { // every operation is one that changes something
		c.Kind, c.Agent = "agent.admit", fmt.Sprintf("hasty-%s-1", c.RequestID)
	}
	switch c.Kind {
	case "agent.admit", "agent.update", "agent.reachable":
		c.Value = "v" + strconv.Itoa(rng.IntN(3))
	case "agent.drain":
		c.Terms = []string{"", "mark_gone"}[rng.IntN(2)]
	}
	return c
}

// proposer draws how a client asks: by the library, for a long or a short time, or one node, once.
func (r *run) proposer(rng *rand.Rand, cl *client.Client) (proposer, time.Duration) {
	switch draw := rng.IntN(3); {
	case draw == 0 || r.hasty:
		return once(r.someNode(rng)), time.Second
	case draw == 1:
		return patiently(cl), time.Duration(20+rng.IntN(400)) * time.Millisecond
	default:
		return patiently(cl), 10 * time.Second
	}
}

// operator changes agents, reads them, and now and then asks again for what it asked for before.
func (r *run) operator(ctx context.Context, id int, rng *rand.Rand) {
	cl := r.c.client()
	defer cl.Close()
	var asked []history.Call
	for r.pause(ctx, rng) {
		c := r.draw(rng, id)
		if len(asked) > 0 && rng.IntN(10) == 0 {
			c = asked[rng.IntN(len(asked))]
		} else if asked = append(asked, c); len(asked) > 20 {
			asked = asked[1:]
		}
		by, patience := r.proposer(rng, cl)
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		r.propose(attempt, by, c)
		if rng.IntN(2) == 0 {
			r.read(attempt, r.someNode(rng), history.Call{Client: id, Kind: history.Read, Agent: c.Agent})
		}
		cancel()
	}
}

// reader reads what others change, as it is and as one node has it.
func (r *run) reader(ctx context.Context, id int, rng *rand.Rand) {
	for r.pause(ctx, rng) {
		c := history.Call{Client: id, Kind: history.Read, Agent: r.name(rng)}
		if rng.IntN(3) > 0 {
			c.Session = fmt.Sprint("session ", id)
		}
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		r.read(attempt, r.someNode(rng), c)
		cancel()
	}
}

// master claims, works under its epoch, and often goes on when it has been superseded.
func (r *run) master(ctx context.Context, id int, rng *rand.Rand) {
	cl := r.c.client()
	defer cl.Close()
	info := fmt.Appendf(nil, `{"id":"m%d"}`, id)
	for r.pause(ctx, rng) {
		claim := r.h.Begin(history.Call{Client: id, Kind: history.Claim})
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		grant, err := cl.Claim(attempt, info, fsm.Duration(time.Duration(100+rng.IntN(200))*time.Millisecond))
		cancel()
		r.h.End(claim, func(c *history.Call) {
			if c.Answer = verdict(err); err == nil {
				c.Outcome, c.Epoch, c.Index = history.Changed, grant.Epoch, grant.Index
			}
		})
		if err != nil {
			continue
		}
		for range 20 + rng.IntN(100) {
			if !r.pause(ctx, rng) {
				return
			}
			c := r.draw(rng, id)
			c.Epoch = grant.Epoch
			by, patience := r.proposer(rng, cl)
			attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			c = *r.propose(attempt, by, c)
			if rng.IntN(30) == 0 {
				_ = cl.Renew(attempt, grant.Epoch) // a master that could not renew goes on all the same
			}
			cancel()
			if c.Outcome == "superseded" && rng.IntN(3) > 0 {
				break // two in three notice
			}
		}
		if rng.IntN(4) == 0 {
			attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = cl.Resign(attempt, grant.Epoch) // the log tells whether it was
			cancel()
		}
	}
}

// agent registers, says that it is there, and falls silent now and then. When it is told to stop for good it is
// replaced by another.
func (r *run) agent(ctx context.Context, id int, rng *rand.Rand) {
	cl := r.c.client()
	defer cl.Close()
	for life := 0; ctx.Err() == nil; life++ {
		name := fmt.Sprintf("live-%d-%d", id, life)
		object, err := fsm.AgentInfo{ID: name, Hostname: name + ".example.org"}.Object()
		if err != nil {
			r.t.Error(err)
			return
		}
		registered := false
		for gone := false; !gone && r.pause(ctx, rng); {
			attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			if !registered {
				call := r.h.Begin(history.Call{Client: id, Kind: history.Register, Agent: name})
				answer, err := cl.Register(attempt, object)
				r.h.End(call, func(c *history.Call) {
					if c.Answer = verdict(err); err == nil {
						c.Outcome, c.Index = string(answer.Action), answer.Index
					}
				})
				registered = err == nil
				gone = err == nil && answer.Code == fsm.AgentGone
			} else if heard, err := cl.Heartbeats(attempt, []string{name}); err == nil {
				registered = len(heard.Unknown)+len(heard.Unreachable) == 0
				gone = len(heard.Gone) > 0
			}
			cancel()
			if registered && rng.IntN(50) == 0 {
				wait(ctx, time.Duration(rng.IntN(3000))*time.Millisecond)
			}
			if registered && rng.IntN(100) == 0 {
				c := history.Call{Client: id, Kind: "agent.gone", Agent: name, RequestID: fmt.Sprintf("%d-%x", id, rng.Uint64())}
				attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
				r.propose(attempt, patiently(cl), c)
				cancel()
			}
		}
	}
}

// watcher follows the changes from the first on, over all nodes in turn, and resumes where it was cut off.
func (r *run) watcher(ctx context.Context, id int, rng *rand.Rand) {
	w := r.watch(fmt.Sprint("watcher ", id))
	for ctx.Err() == nil {
		if err := w.follow(ctx, r.someNode(rng)); errors.Is(err, wire.ErrExpired) {
			r.t.Errorf("a watcher of a short history was told: %v", err)
			return
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// watchLog follows them with the client library, which resumes by itself.
func (r *run) watchLog(ctx context.Context, id int, _ *rand.Rand) {
	cl := r.c.client()
	defer cl.Close()
	w := r.watch(fmt.Sprint("library watcher ", id))
	for change, err := range cl.Watch(ctx, 0) {
		if err != nil {
			if ctx.Err() == nil {
				r.t.Errorf("the library ended a watch: %v", err)
			}
			return
		}
		w.take(change)
	}
}

// silence is after how long a watcher takes a stream for dead: it should hear every ten seconds.
const silence = 15 * time.Second

// follow reads one node's stream to its end.
func (w *watching) follow(ctx context.Context, node *Node) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/watch?after=%d", node.HTTP, w.resume()), nil)
	if err != nil {
		return err
	}
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	response, err := streamClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusGone {
		return wire.ErrExpired
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		watchdog.Reset(silence)
		var change fsm.Change
		if err := json.Unmarshal(lines.Bytes(), &change); err != nil {
			return err // a line cut off by the end of the stream
		}
		if change.Kind != "" {
			w.take(&change)
		}
	}
	return lines.Err()
}

var streamClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// pollster compares the nodes with each other all the time.
func (r *run) pollster(ctx context.Context, _ int, _ *rand.Rand) {
	for wait(ctx, 50*time.Millisecond) {
		for _, node := range r.c.members() {
			if status, err := node.status(); err == nil {
				r.replicas.Saw(node.ID, status.Index, status.Digest, status.Chain)
				r.led(status)
			}
		}
	}
}

// someNode is any.
func (r *run) someNode(rng *rand.Rand) *Node {
	nodes := r.c.members()
	return nodes[rng.IntN(len(nodes))]
}

// pause is a client's time to think; false: it should stop.
func (r *run) pause(ctx context.Context, rng *rand.Rand) bool {
	return wait(ctx, time.Duration(rng.Int64N(int64(2*r.think)+1)))
}

// wait is a pause that a fault or a client makes; false: ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// kept is a change as a history has it.
func kept(c *fsm.Change) history.Change {
	return history.Change{Index: c.Index, Kind: string(c.Kind), ID: c.ID, Phase: c.Phase, Was: c.Was, Last: c.Last}
}

// take notes one change that was sent.
func (w *watching) take(c *fsm.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream.Changes = append(w.stream.Changes, kept(c))
}

// resume is the last index that was sent in full. What came of a later one will come again.
func (w *watching) resume() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.stream.Changes)
	for n > 0 && !w.stream.Changes[n-1].Last {
		n--
	}
	w.stream.Changes = w.stream.Changes[:n]
	if n == 0 {
		return w.stream.After
	}
	return w.stream.Changes[n-1].Index
}

// reached tells whether everything up to an index was sent.
func (w *watching) reached(index uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range slices.Backward(w.stream.Changes) {
		if c.Last {
			return c.Index >= index
		}
	}
	return false
}
