package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// world is a registry that keeps its promises, under clients whose calls overlap and whose answers get lost. Its
// lies are what a test plants.
type world struct {
	rng     *rand.Rand
	h       *History
	index   uint64
	agents  map[string]Agent
	log     []Change
	answers map[string]told // by request id
	epoch   uint64
	lies    lies
	older   map[string]Agent // all agents some time ago, and when
	olderAt uint64
}

type told struct {
	outcome string
	index   uint64
}

// lies are probabilities of 0 or more in a hundred.
type lies struct {
	stale, twice, lost, no, epoch, otherwise int
}

func newWorld(seed uint64, l lies) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 0)), h: New(), agents: map[string]Agent{}, answers: map[string]told{}, lies: l, older: map[string]Agent{}}
}

func (w *world) does(percent int) bool { return w.rng.IntN(100) < percent }

var kinds = []string{"agent.admit", "agent.admit", "agent.update", "agent.reachable", "agent.unreachable", "agent.gone", "agent.remove",
	"agent.drain", "agent.drained", "agent.deactivate", "agent.reactivate", Read, Read, Read}

// run lets clients ask n times, up to 8 at once.
func (w *world) run(n int) Evidence {
	type open struct {
		call    *Call
		happens bool
	}
	var under []open
	var asked []Call
	w.claim()
	for i := range n {
		if w.does(2) {
			w.claim()
		}
		c := Call{
			Client: w.rng.IntN(8), Kind: kinds[w.rng.IntN(len(kinds))], Agent: fmt.Sprintf("a%d-%d", i/40, w.rng.IntN(3)),
			Value: fmt.Sprint("v", w.rng.IntN(3)), RequestID: fmt.Sprint("r", w.rng.Uint64()),
		}
		if c.Kind == Read {
			c.RequestID, c.Value = "", ""
		} else if w.does(30) {
			c.Epoch = w.epoch - uint64(w.rng.IntN(int(min(w.epoch, 2))))
		}
		if len(asked) > 0 && w.does(10) {
			c = asked[len(asked)-1-w.rng.IntN(min(len(asked), 20))] // once more
		}
		if c.RequestID != "" {
			asked = append(asked, c)
		}
		under = append(under, open{w.h.Begin(c), !w.does(10)})
		for len(under) > 8 || len(under) > 0 && w.does(50) {
			i := w.rng.IntN(len(under))
			o := under[i]
			under = slices.Delete(under, i, i+1)
			w.answer(o.call, o.happens)
		}
	}
	calls := w.h.Calls()
	stream := Stream{Watcher: "w1", After: 0, Until: w.index, Changes: w.log}
	return Evidence{Calls: calls, Log: w.log, Streams: []Stream{stream}, Replicas: &Replicas{}}
}

func (w *world) claim() {
	c := w.h.Begin(Call{Client: 99, Kind: Claim})
	w.index++
	w.epoch++
	w.log = append(w.log, Change{Index: w.index, Kind: "master.claim", ID: "m", Last: true})
	w.h.End(c, func(c *Call) { c.Answer, c.Outcome, c.Index, c.Epoch = Yes, Changed, w.index, w.epoch })
}

func (w *world) answer(c *Call, happens bool) {
	if c.Kind == Read {
		w.read(c)
		return
	}
	var answer told
	if happens || w.does(w.lies.no) {
		answer = w.apply(c)
	}
	w.h.End(c, func(c *Call) {
		switch {
		case !happens && w.does(50):
			c.Answer = Perhaps
		case !happens:
			c.Answer = No
		case w.does(5):
			c.Answer = Perhaps
		default:
			c.Answer, c.Outcome, c.Index = Yes, answer.outcome, answer.index
		}
	})
}

func (w *world) apply(c *Call) told {
	w.index++
	if first, known := w.answers[c.RequestID]; known && !w.does(w.lies.twice) {
		return told{first.outcome, w.index}
	}
	if c.Epoch != 0 && c.Epoch != w.epoch && !w.does(w.lies.epoch) {
		w.answers[c.RequestID] = told{"superseded", w.index}
		return w.answers[c.RequestID]
	}
	was := w.agents[c.Agent]
	next, outcome := was.Do(c)
	if w.does(w.lies.otherwise) {
		outcome = Unchanged
	}
	if outcome == Changed && !w.does(w.lies.lost) {
		w.agents[c.Agent] = next
		w.log = append(w.log, Change{Index: w.index, Kind: c.Kind, ID: c.Agent, Phase: next.Phase, Was: was.Phase, Last: true})
	}
	w.answers[c.RequestID] = told{outcome, w.index}
	if w.does(10) {
		w.olderAt = w.index
		for id, agent := range w.agents {
			w.older[id] = agent
		}
	}
	return w.answers[c.RequestID]
}

func (w *world) read(c *Call) {
	agents, index := w.agents, w.index
	if w.does(w.lies.stale) {
		agents, index = w.older, w.olderAt
	}
	w.h.End(c, func(c *Call) {
		c.Answer, c.Index, c.Outcome, c.Found = Yes, index, Found, agents[c.Agent]
		if c.Found == (Agent{}) {
			c.Outcome = NotFound
		}
	})
}
