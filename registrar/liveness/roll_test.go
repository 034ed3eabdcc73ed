package liveness

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// twin is the roll as an obvious map: every agent is looked at whenever anybody asks.
type twin struct {
	cfg    Config
	floor  time.Duration
	agents map[string]*twinAgent
}

type twinAgent struct {
	since   time.Duration
	awaited bool
}

func (t *twin) standing(id string, now time.Duration) standing {
	a := t.agents[id]
	silence := now - max(a.since, t.floor)
	switch {
	case a.awaited && silence >= t.cfg.Window, !a.awaited && silence >= t.cfg.deadline():
		return due
	case !a.awaited && silence >= t.cfg.suspicion():
		return missing
	}
	return present
}

// The wheel finds exactly those whom a look at everybody would find, over random admissions, removals,
// heartbeats, removals begun and given up, and pauses: nobody early, and nobody later than one tick.
func TestRollAgreesWithLookingAtEverybody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			cfg := Defaults()
			cfg.MaxMissed = 1 + random.IntN(6)
			cfg.Window = cfg.Heartbeat * time.Duration(1+random.IntN(60))
			now := time.Duration(random.Int64N(int64(time.Hour)))
			roll := newRoll(cfg, now)
			all := twin{cfg: cfg, floor: now, agents: make(map[string]*twinAgent)}
			marked := make(map[string]bool)
			for range 5_000 {
				id := fmt.Sprint("a", random.IntN(100))
				agent, known := all.agents[id]
				switch n := random.IntN(1000); {
				case n < 100:
					roll.add(id, address{hostname: id, port: uint16(random.IntN(2))}, now)
					if !known {
						all.agents[id] = &twinAgent{since: now, awaited: true}
					}
				case n < 110:
					roll.drop(id)
					delete(all.agents, id)
					delete(marked, id)
				case n < 700:
					if got, want := roll.heard(id, now), known && !marked[id]; got != want {
						t.Fatalf("heard(%s) = %t, want %t", id, got, want)
					}
					if known {
						agent.since, agent.awaited = now, false
					}
				case n < 710:
					if e, ok := roll.next(); ok {
						if s := all.standing(e.id, now); s != due {
							t.Fatalf("%s is next, but not due: %d", e.id, s)
						}
						marked[e.id] = true
					}
				case n < 715:
					roll.putBack(id, now)
					delete(marked, id)
				case n < 717:
					roll.restart(now)
					all.floor = now
				default:
					now += time.Duration(random.Int64N(int64(3 * time.Second)))
					roll.turn(now)
				}
				check(t, roll, &all, marked, now)
			}
		})
	}
}

func check(t *testing.T, roll *roll, all *twin, marked map[string]bool, now time.Duration) {
	t.Helper()
	if len(roll.byID) != len(all.agents) {
		t.Fatalf("%d agents on the roll, want %d", len(roll.byID), len(all.agents))
	}
	absent, queued, awaited := 0, 0, 0
	for id, agent := range all.agents {
		e, ok := roll.find(id)
		if !ok || e.awaited != agent.awaited {
			t.Fatalf("%s on the roll: %t, awaited %t, want %t", id, ok, e.awaited, agent.awaited)
		}
		want := all.standing(id, now)
		if marked[id] {
			want = marking
		}
		// What became so within the last tick may not have been visited yet.
		if late := all.standing(id, now-roll.tick-1); e.standing != want && (marked[id] || e.standing != late) {
			t.Fatalf("%s stands at %d, want %d", id, e.standing, want)
		}
		if e.standing != present {
			absent++
		}
		if e.standing == due {
			queued++
		}
		if e.awaited {
			awaited++
		}
		if i := roll.byAddress[e.address]; roll.entries[i].id != id {
			t.Fatalf("%s is not found at its address", id)
		}
	}
	if absent != roll.absent || queued != roll.queued || awaited != roll.awaited {
		t.Fatalf("counts %d %d %d, want %d %d %d", roll.absent, roll.queued, roll.awaited, absent, queued, awaited)
	}
}

// Those who are due leave in the order in which they became so.
func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	roll := newRoll(Defaults(), 0)
	for i := range 5 {
		id := fmt.Sprint("a", i)
		roll.add(id, address{}, 0)
		roll.heard(id, time.Duration(i)*2*time.Second)
	}
	for now := time.Duration(0); now <= 90*time.Second; now += time.Second {
		roll.turn(now)
	}
	for i := range 5 {
		if e, ok := roll.next(); !ok || e.id != fmt.Sprint("a", i) {
			t.Fatalf("place %d of the queue is %v", i, e)
		}
	}
}

// A place on the roll that was given up is used again: admitting and removing for ever costs nothing.
func TestPlacesAreUsedAgain(t *testing.T) {
	t.Parallel()
	roll := newRoll(Defaults(), 0)
	before := len(roll.entries)
	for i := range 10_000 {
		id := fmt.Sprint("a", i)
		roll.add(id, address{hostname: id}, 0)
		roll.drop(id)
	}
	if grown := len(roll.entries) - before; grown != 1 {
		t.Errorf("%d entries for one agent at a time", grown)
	}
	if len(roll.byAddress) != 0 {
		t.Errorf("%d addresses are left", len(roll.byAddress))
	}
}
