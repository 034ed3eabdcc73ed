package liveness

import (
	"slices"
	"time"
)

// standing is where an agent is on its way out.
type standing uint8

const (
	present standing = iota // heard from lately, or within its window
	missing                 // one missed heartbeat away from due: counts against the limit
	due                     // waits for its turn to be marked
	marking                 // its operation is under way
)

// entry is one admitted agent. It is in exactly one list: a bucket of the wheel, the queue of those that are
// due, or none while it is marked.
type entry struct {
	id         string
	address    address
	since      time.Duration // last heard from; while awaited, when the wait began
	prev, next int32
	standing   standing
	awaited    bool // not heard from in this reign: it has the whole window
	approved   bool // a person decided on its removal: the limit does not count it
	excused    bool // its machine is down for maintenance: nor does it count this one
}

// roll is who was heard from when: one entry an agent, and a wheel of buckets in which each is looked at
// again when it could have become missing or due. Hearing from an agent only notes the time; its bucket finds
// out. So a heartbeat costs a look-up, and a silent or a lively agent one visit in MaxMissed heartbeats.
//
// All times are the watchman's. Not for concurrent use.
type roll struct {
	window, suspicion, deadline time.Duration // from the Config
	tick                        time.Duration // width of a bucket

	byID      map[string]int32
	byAddress map[address]int32 // the latest agent at each address
	down      down              // machines whose agents are excused

	// The first buckets+1 entries are list heads: the wheel's, then the queue's. Lists are circular.
	entries []entry
	buckets int32
	free    int32 // first unused entry, linked by next; 0 is none

	visited int64         // the last tick that was visited
	floor   time.Duration // no silence counts from before this

	awaited int    // entries awaited
	absent  int    // entries that count against the limit: missing, due or being marked, not approved or excused
	queued  int    // entries due
	spared  uint64 // of those due, heard from while they waited for their turn
}

func newRoll(cfg Config, now time.Duration) *roll {
	tick := cfg.tick()
	buckets := int32(cfg.deadline()/tick) + 2
	r := &roll{
		window: cfg.Window, suspicion: cfg.suspicion(), deadline: cfg.deadline(), tick: tick,
		byID: make(map[string]int32), byAddress: make(map[address]int32),
		entries: make([]entry, buckets+1), buckets: buckets,
		visited: int64(now / tick), floor: now,
	}
	for i := range r.entries {
		r.entries[i].prev, r.entries[i].next = int32(i), int32(i)
	}
	return r
}

// reserve makes room for n agents at once.
func (r *roll) reserve(n int) {
	r.byID, r.byAddress = make(map[string]int32, n), make(map[address]int32, n)
	r.entries = slices.Grow(r.entries, n)
}

// add puts an agent on the roll, awaited from now on, or notes its new address.
func (r *roll) add(id string, at address, now time.Duration) {
	i, known := r.byID[id]
	if !known {
		i = r.allocate()
		r.entries[i] = entry{id: id, since: now, awaited: true, prev: i, next: i}
		r.byID[id] = i
		r.awaited++
		r.place(i, now)
	}
	e := &r.entries[i]
	if known && e.address == at {
		return
	}
	r.leaveAddress(i)
	e.address = at
	r.change(e, func() { e.excused = r.down.has(at) })
	if at != (address{}) {
		r.byAddress[at] = i
	}
}

// drop takes an agent off the roll.
func (r *roll) drop(id string) {
	i, ok := r.byID[id]
	if !ok {
		return
	}
	e := &r.entries[i]
	r.stand(e, present)
	if e.awaited {
		r.awaited--
	}
	r.leaveAddress(i)
	r.unlink(i)
	delete(r.byID, id)
	*e = entry{next: r.free}
	r.free = i
}

// find returns the entry of an agent, valid until the next add.
func (r *roll) find(id string) (*entry, bool) {
	i, ok := r.byID[id]
	if !ok {
		return nil, false
	}
	return &r.entries[i], true
}

// heard notes that an agent is there. It says false where the agent is not on the roll, or too late: its
// removal is under way.
func (r *roll) heard(id string, now time.Duration) bool {
	i, ok := r.byID[id]
	if !ok {
		return false
	}
	e := &r.entries[i]
	e.since = now
	first := e.awaited
	if first {
		e.awaited = false
		r.awaited--
	}
	switch {
	case e.standing == marking:
		return false
	case e.standing == due:
		r.spared++
		r.place(i, now)
	case first: // from now on it is looked at sooner than after a whole window
		r.place(i, now)
	case e.standing == missing:
		r.stand(e, present)
	}
	return true
}

// silent says whether an agent has not been heard from for so long that another may take its address.
func (r *roll) silent(e *entry, now time.Duration) bool {
	return now-max(e.since, r.floor) >= r.suspicion
}

// turn visits the buckets that have come up since the last turn.
func (r *roll) turn(now time.Duration) {
	until := int64(now / r.tick)
	r.visited = max(r.visited, until-int64(r.buckets))
	for r.visited < until {
		r.visited++
		head := int32(r.visited % int64(r.buckets))
		// Taken out whole: an entry may be placed into the same bucket again.
		i := r.entries[head].next
		r.entries[head].prev, r.entries[head].next = head, head
		for i != head {
			next := r.entries[i].next
			r.entries[i].prev, r.entries[i].next = i, i
			r.place(i, now)
			i = next
		}
	}
}

// restart begins every silence and every window anew: nobody could be heard until now.
func (r *roll) restart(now time.Duration) {
	r.floor = now
	for _, i := range r.byID {
		if r.entries[i].standing != marking {
			r.place(i, now)
		}
	}
}

// next takes the first agent that is due off the queue, to be marked.
func (r *roll) next() (*entry, bool) {
	queue := r.buckets
	i := r.entries[queue].next
	if i == queue {
		return nil, false
	}
	r.unlink(i)
	r.stand(&r.entries[i], marking)
	return &r.entries[i], true
}

// putBack returns an agent whose marking did not happen.
func (r *roll) putBack(id string, now time.Duration) {
	if i, ok := r.byID[id]; ok && r.entries[i].standing == marking {
		r.place(i, now)
	}
}

// approve exempts all that are absent now from the limit, and returns how many those are.
func (r *roll) approve() (n int) {
	for _, i := range r.byID {
		if e := &r.entries[i]; e.counts() {
			r.change(e, func() { e.approved = true })
			n++
		}
	}
	return n
}

// excuse exempts exactly those whose machine is down from the limit, until it is called again.
func (r *roll) excuse(d down) {
	r.down = d
	for _, i := range r.byID {
		if e := &r.entries[i]; e.excused != d.has(e.address) {
			r.change(e, func() { e.excused = !e.excused })
		}
	}
}

// place decides where an agent stands and puts it where it is looked at next.
func (r *roll) place(i int32, now time.Duration) {
	e := &r.entries[i]
	since := max(e.since, r.floor)
	silence := now - since
	var again time.Duration
	switch {
	case e.awaited && silence >= r.window, !e.awaited && silence >= r.deadline:
		wasDue := e.standing == due
		r.stand(e, due)
		if !wasDue {
			r.move(i, r.buckets)
		}
		return
	case e.awaited:
		r.stand(e, present)
		again = since + r.window
	case silence >= r.suspicion:
		r.stand(e, missing)
		again = since + r.deadline
	default:
		r.stand(e, present)
		again = since + r.suspicion
	}
	// Rounded up, and no farther than the wheel reaches: whoever is looked at too early is placed again.
	tick := int64((again + r.tick - 1) / r.tick)
	tick = min(max(tick, r.visited+1), r.visited+int64(r.buckets)-1)
	r.move(i, int32(tick%int64(r.buckets)))
}

// stand changes an agent's standing.
func (r *roll) stand(e *entry, to standing) {
	r.change(e, func() {
		e.standing = to
		e.approved = e.approved && to != present
	})
}

// counts says whether an agent counts against the limit.
func (e *entry) counts() bool { return e.standing != present && !e.approved && !e.excused }

// change changes an entry and keeps the counts.
func (r *roll) change(e *entry, do func()) {
	count := func(by int) {
		if e.counts() {
			r.absent += by
		}
		if e.standing == due {
			r.queued += by
		}
	}
	count(-1)
	do()
	count(+1)
}

func (r *roll) allocate() int32 {
	if i := r.free; i != 0 {
		r.free = r.entries[i].next
		return i
	}
	r.entries = append(r.entries, entry{})
	return int32(len(r.entries) - 1)
}

func (r *roll) leaveAddress(i int32) {
	if at := r.entries[i].address; r.byAddress[at] == i {
		delete(r.byAddress, at)
	}
}

// move puts an entry at the end of a list, out of the one that it was in.
func (r *roll) move(i, head int32) {
	r.unlink(i)
	last := r.entries[head].prev
	r.entries[i].prev, r.entries[i].next = last, head
	r.entries[last].next, r.entries[head].prev = i, i
}

func (r *roll) unlink(i int32) {
	e := &r.entries[i]
	r.entries[e.prev].next, r.entries[e.next].prev = e.next, e.prev
	e.prev, e.next = i, i
}
