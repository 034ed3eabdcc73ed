package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/registrard/registrard/cluster-tests/history"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
)

// The clients of a run ask until they are told to stop. They reach every life directly, as one that a node forwards for.

// turns is how many calls go to an agent's generation before the next one's names are used: unknown answers about one
// agent cost the checker dearly.
const turns = 40

func (r *run) name(rng *rand.Rand) string {
	return fmt.Sprintf("a%06d-%d", r.turn.Add(1)/turns, 1+rng.IntN(3))
}

var kinds = []string{"agent.admit", "agent.admit", "agent.admit", "agent.update", "agent.reachable", "agent.unreachable",
	"agent.gone", "agent.remove", "agent.drain", "agent.drained", "agent.deactivate", "agent.reactivate"}

func (r *run) draw(rng *rand.Rand, client int) history.Call {
	c := history.Call{Client: client, Kind: kinds[rng.IntN(len(kinds))], Agent: r.name(rng), RequestID: fmt.Sprintf("%d-%x", client, rng.Uint64())}
	switch c.Kind {
	case "agent.admit", "agent.update", "agent.reachable":
		c.Value = "v" + strconv.Itoa(rng.IntN(3))
	case "agent.drain":
		c.Terms = []string{"", "mark_gone"}[rng.IntN(2)]
	}
	return c
}

// operation is what a call asks of the state machine.
func operation(c *history.Call) fsm.Op {
	object := func() fsm.AgentObject {
		o, err := fsm.AgentInfo{ID: c.Agent, Hostname: c.Value}.Object()
		if err != nil {
			panic(err)
		}
		return o
	}
	switch c.Kind {
	case "agent.admit":
		return fsm.AdmitAgent{Agent: object()}
	case "agent.update":
		return fsm.UpdateAgent{Agent: object()}
	case "agent.reachable":
		return fsm.ReachAgent{Agent: object()}
	case "agent.unreachable":
		return fsm.MarkUnreachable{ID: c.Agent}
	case "agent.gone":
		return fsm.MarkGone{ID: c.Agent}
	case "agent.remove":
		return fsm.RemoveAgent{ID: c.Agent}
	case "agent.drain":
		return fsm.DrainAgent{ID: c.Agent, MarkGone: c.Terms != ""}
	case "agent.drained":
		return fsm.MarkDrained{ID: c.Agent}
	case "agent.deactivate":
		return fsm.DeactivateAgent{ID: c.Agent}
	case "agent.reactivate":
		return fsm.ReactivateAgent{ID: c.Agent}
	}
	panic("no such kind: " + c.Kind)
}

// somebody is a node that is up, the leader's more often than not; nil: none is.
func (r *run) somebody(rng *rand.Rand) *life {
	var up []*life
	for _, n := range r.members() {
		if l := n.alive(); l != nil {
			if l.log.Status().Role == log.Leader && rng.IntN(4) > 0 {
				return l
			}
			up = append(up, l)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[rng.IntN(len(up))]
}

// propose asks one life and notes the answer.
func (r *run) propose(rng *rand.Rand, c history.Call) *history.Call {
	l := r.somebody(rng)
	if l == nil {
		return &c
	}
	own := r.h.Begin(c)
	ctx, cancel := r.patience(rng, l)
	defer cancel()
	result, err := l.Propose(ctx, []fsm.Proposal{{Op: operation(&c), RequestID: c.RequestID, Epoch: c.Epoch}})
	r.h.End(own, func(c *history.Call) {
		if c.Answer = l.verdict(err); c.Answer != history.Yes {
			return
		}
		c.Index = result.Index
		switch o := result.Outcomes[0]; {
		case o.Rejection != nil:
			c.Outcome = string(o.Rejection.Code)
		case o.Changed:
			c.Outcome = history.Changed
		default:
			c.Outcome = history.Unchanged
		}
	})
	return own
}

// patience is how long a client waits: often less than it takes.
func (r *run) patience(rng *rand.Rand, l *life) (context.Context, context.CancelFunc) {
	d := 5 * time.Second
	if rng.IntN(3) == 0 {
		d = time.Duration(1+rng.IntN(20)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	go func() { // the connection to a process that dies is reset
		select {
		case <-l.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// verdict is what an answer says. Nothing that a life says after its death has been heard.
func (l *life) verdict(err error) history.Answer {
	select {
	case <-l.over:
		return history.Perhaps
	default:
	}
	switch {
	case err == nil:
		return history.Yes
	case errors.Is(err, log.ErrUncertain):
		return history.Perhaps
	default:
		return history.No
	}
}

// operator changes agents, and now and then asks again for what it asked for before.
func (r *run) operator(ctx context.Context, id int, rng *rand.Rand) {
	var asked []history.Call
	for r.pause(ctx, rng) {
		c := r.draw(rng, id)
		if len(asked) > 0 && rng.IntN(6) == 0 {
			c = asked[rng.IntN(len(asked))]
		} else if asked = append(asked, c); len(asked) > 20 {
			asked = asked[1:]
		}
		r.propose(rng, c)
		if rng.IntN(2) == 0 {
			r.read(rng, history.Call{Client: id, Kind: history.Read, Agent: c.Agent})
		}
	}
}

// reader reads what others change, as it is and as one node has it.
func (r *run) reader(ctx context.Context, id int, rng *rand.Rand) {
	for r.pause(ctx, rng) {
		c := history.Call{Client: id, Kind: history.Read, Agent: r.name(rng)}
		if rng.IntN(2) == 0 {
			c.Session = "session " + strconv.Itoa(id)
		}
		r.read(rng, c)
	}
}

func (r *run) read(rng *rand.Rand, c history.Call) {
	l := r.somebody(rng)
	if l == nil {
		return
	}
	consistency := registrar.Linearizable
	if c.Session != "" {
		consistency, c.Session = registrar.Stale, c.Session+" of "+l.name
	}
	own := r.h.Begin(c)
	ctx, cancel := r.patience(rng, l)
	defer cancel()
	state, err := l.View(ctx, consistency)
	r.h.End(own, func(c *history.Call) {
		if err != nil {
			c.Answer = history.No
			return
		}
		if c.Answer = l.verdict(nil); c.Answer != history.Yes {
			return
		}
		c.Index, c.Outcome = state.Index(), history.NotFound
		if a, ok := state.Agent(c.Agent); ok {
			c.Outcome, c.Found = history.Found, seen(a)
		}
	})
}

func seen(a *fsm.Agent) history.Agent {
	found := history.Agent{Phase: a.Phase.String(), Deactivated: a.Deactivated}
	for _, v := range []string{"v0", "v1", "v2"} {
		if o, err := (fsm.AgentInfo{ID: a.ID, Hostname: v}).Object(); err == nil && o.Info == a.Info {
			found.Value = v
		}
	}
	if a.Drain != nil {
		found.Drain = a.Drain.State.String()
		if a.Drain.MarkGone {
			found.Terms = "mark_gone"
		}
	}
	return found
}

// master claims, works under its epoch, and often goes on when it has been superseded.
func (r *run) master(ctx context.Context, id int, rng *rand.Rand) {
	for r.pause(ctx, rng) {
		l := r.somebody(rng)
		if l == nil {
			continue
		}
		claim := r.h.Begin(history.Call{Client: id, Kind: history.Claim})
		attempt, cancel := r.patience(rng, l)
		name := "m" + strconv.Itoa(id)
		grant, err := l.masters.Claim(attempt, name, fsm.Info(`{"id":"`+name+`"}`), time.Duration(100+rng.IntN(200))*time.Millisecond, name)
		cancel()
		r.h.End(claim, func(c *history.Call) {
			if c.Answer = l.verdict(err); c.Answer == history.Yes {
				c.Outcome, c.Epoch, c.Index = history.Changed, grant.Epoch, grant.Index
			}
		})
		if err != nil {
			continue
		}
		for range 10 + rng.IntN(60) {
			if !r.pause(ctx, rng) {
				return
			}
			c := r.draw(rng, id)
			c.Epoch = grant.Epoch
			if done := r.propose(rng, c); done.Outcome == "superseded" && rng.IntN(3) > 0 {
				break // two in three notice
			}
		}
	}
}

// watcher follows the changes from the first on, over all nodes in turn, and resumes where it was cut off.
func (r *run) watcher(ctx context.Context, id int, rng *rand.Rand) {
	s := &history.Stream{Watcher: "watcher " + strconv.Itoa(id)}
	after := uint64(0)
	for ctx.Err() == nil {
		l := r.somebody(rng)
		if l == nil {
			wait(ctx.Done(), 50*time.Millisecond)
			continue
		}
		following, cancel := context.WithTimeout(ctx, time.Duration(1+rng.IntN(5000))*time.Millisecond)
		for following.Err() == nil && l.port != nil {
			select {
			case <-l.over:
				cancel()
				continue
			default:
			}
			state, err := l.Watch(following, after)
			if err != nil {
				break
			}
			changes, kept := state.Changes(after)
			if !kept {
				r.complain("watch", "%s: changes after %d are gone from %s", s.Watcher, after, l.name)
				break
			}
			for c := range changes {
				s.Changes = append(s.Changes, change(c))
			}
			after = state.Index()
		}
		cancel()
	}
	r.streams <- *s
}

func change(c *fsm.Change) history.Change {
	return history.Change{Index: c.Index, Kind: string(c.Kind), ID: c.ID, Phase: c.Phase, Was: c.Was, Last: c.Last}
}

// changes is the whole log as a watcher from the first index would see it.
func changes(s *fsm.State) (all []history.Change, whole bool) {
	seq, whole := s.Changes(0)
	for c := range seq {
		all = append(all, change(c))
	}
	return slices.Clip(all), whole
}
