package clustertests

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// fault is one thing that can go wrong. At most two are there at once, one of the network and one of the
// machines, and what one does and undoes never touches the other's.
type fault struct {
	name    string
	network bool
	not     func(*run) string // why it cannot happen here; nil, or empty: it can
	// longest is how long it stays at most; at least a fifth of that.
	longest time.Duration
	do      func(*run, *rand.Rand) (undo func())
}

// faults is all that is done to a cluster. docs/testing.md has the same table with what came of it.
var faults = []fault{
	{"one node cut off", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		cutOff := []string{r.someNode(rng).ID}
		part(r.c.links(), cutOff, r.others(cutOff))
		return r.c.links().heal
	}},
	{"halves", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		ids := r.ids(rng)
		part(r.c.links(), ids[:len(ids)/2], ids[len(ids)/2:])
		return r.c.links().heal
	}},
	{"the leader in a minority", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		minority := []string{r.leading(rng).ID}
		others := r.others(minority)
		minority = append(minority, others[:(len(others)-1)/2]...)
		part(r.c.links(), minority, r.others(minority))
		return r.c.links().heal
	}},
	{"one node not heard", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		mute := r.victim(rng).ID
		for _, id := range r.others([]string{mute}) {
			r.c.links().cut(mute, id)
		}
		return r.c.links().heal
	}},
	{"one node that hears nothing", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		deaf := r.victim(rng).ID
		for _, id := range r.others([]string{deaf}) {
			r.c.links().cut(id, deaf)
		}
		return r.c.links().heal
	}},
	{"a ring: each reaches two", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		ids := r.ids(rng)
		for i, a := range ids {
			for j, b := range ids[i+1:] {
				if far := j + 1; far > 1 && far < len(ids)-1 {
					part(r.c.links(), []string{a}, []string{b})
				}
			}
		}
		return r.c.links().heal
	}},
	{"a bridge: one node between halves", true, needsLinks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		ids := r.ids(rng)
		half := (len(ids) - 1) / 2
		part(r.c.links(), ids[:half], ids[half+1:])
		return r.c.links().heal
	}},
	{"packets lost", true, needsNetwork, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		for _, id := range r.ids(rng) {
			r.c.net.lose(id, 5+rng.IntN(25))
		}
		return r.c.net.heal
	}},
	{"a slow line", true, needsNetwork, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		r.c.net.narrow(r.victim(rng).ID)
		return r.c.net.heal
	}},

	{"one killed", false, nil, 2 * time.Second, func(r *run, rng *rand.Rand) func() {
		return r.kill(r.victim(rng))
	}},
	{"all killed", false, nil, time.Second, func(r *run, rng *rand.Rand) func() {
		return r.kill(r.c.members()...)
	}},
	{"one paused", false, nil, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		node := r.victim(rng)
		node.signal(syscall.SIGSTOP)
		return func() { node.signal(syscall.SIGCONT) }
	}},
	{"a rolling restart", false, nil, 0, func(r *run, rng *rand.Rand) func() {
		for _, node := range r.c.members() {
			node.down.Store(true)
			// What an earlier fault did to its disk may have ended it before.
			if err := node.stop(r.t); err != nil && time.Now().UnixNano() > node.excused.Load() {
				r.violate("graceful end", "%s was asked to end, and did with %v:\n%s", node.ID, err, node.log.String())
			}
			node.start(r.t)
			node.down.Store(false)
			r.ready(node)
		}
		return func() {}
	}},
	{"leadership handed over", false, nil, 0, func(r *run, rng *rand.Rand) func() {
		r.handOver(r.someNode(rng))
		return func() {}
	}},
	{"a member replaced", false, nil, 0, func(r *run, rng *rand.Rand) func() {
		r.replace(r.someNode(rng))
		return func() {}
	}},
	{"a byte flipped or a file cut", false, nil, 0, func(r *run, rng *rand.Rand) func() {
		r.damage(r.someNode(rng), rng)
		return func() {}
	}},
	{"a sync that fails", false, needsStrace, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		node := r.victim(rng)
		node.excuse(time.Hour)
		detach := r.strace(node, "error=EIO")
		return func() {
			detach()
			node.excuse(lateExit)
		}
	}},
	{"slow syncs", false, needsStrace, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		return r.strace(r.victim(rng), "delay_enter=200000:when=1+2")
	}},
	{"a full disk", false, needsDisks, 4 * time.Second, func(r *run, rng *rand.Rand) func() {
		node := r.victim(rng)
		node.excuse(time.Hour)
		free := r.c.disks.fill(node.ID)
		return func() {
			free()
			node.excuse(lateExit)
		}
	}},
	{"a frozen disk", false, needsDisks, 9 * time.Second, func(r *run, rng *rand.Rand) func() {
		node := r.victim(rng)
		node.excuse(time.Hour)
		r.c.disks.freeze(node.ID, 20*time.Second)
		return func() {
			r.c.disks.thaw()
			node.excuse(lateExit)
		}
	}},
	{"power lost by one", false, needsDisks, 2 * time.Second, func(r *run, rng *rand.Rand) func() {
		return r.powerOff(r.victim(rng))
	}},
	{"power lost by all", false, needsDisks, time.Second, func(r *run, rng *rand.Rand) func() {
		return r.powerOff(r.c.members()...)
	}},
}

// lateExit is how long after a fault of its disk a node may still end because of it.
const lateExit = 20 * time.Second

func needsLinks(r *run) string {
	if r.c.links() == nil {
		return "there are no links to cut"
	}
	return ""
}

func needsNetwork(r *run) string {
	if r.c.net == nil {
		return "there is no network of packets"
	}
	return ""
}

func needsDisks(r *run) string {
	if r.c.disks == nil {
		return "there are no disks to break"
	}
	return ""
}

func needsStrace(*run) string {
	if _, err := exec.LookPath("strace"); err != nil {
		return "system calls are made to fail with strace, which is not here"
	}
	return ""
}

// ids are the members' in some order.
func (r *run) ids(rng *rand.Rand) (ids []string) {
	for _, node := range r.c.members() {
		ids = append(ids, node.ID)
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// others are the members that are not listed.
func (r *run) others(listed []string) (ids []string) {
	for _, node := range r.c.members() {
		if !slices.Contains(listed, node.ID) {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// leading is who leads, or anybody.
func (r *run) leading(rng *rand.Rand) *Node {
	for _, node := range r.c.members() {
		if status, err := node.status(); err == nil && status.Role == "leader" {
			return node
		}
	}
	return r.someNode(rng)
}

// victim is the leader, half of the time.
func (r *run) victim(rng *rand.Rand) *Node {
	if rng.IntN(2) == 0 {
		return r.leading(rng)
	}
	return r.someNode(rng)
}

// kill ends processes; what it returns starts them again.
func (r *run) kill(nodes ...*Node) (start func()) {
	for _, node := range nodes {
		node.down.Store(true)
		node.signal(syscall.SIGKILL)
	}
	for _, node := range nodes {
		node.kill(r.t)
	}
	return func() {
		for _, node := range nodes {
			node.start(r.t)
			node.down.Store(false)
		}
	}
}

// powerOff ends machines: what was not synced is lost. What it returns brings them up again.
func (r *run) powerOff(nodes ...*Node) (on func()) {
	for _, node := range nodes {
		node.down.Store(true)
		r.c.disks.powerOff(node.ID)
	}
	start := r.kill(nodes...)
	return func() {
		for _, node := range nodes {
			r.c.disks.remount(node.ID)
		}
		start()
	}
}
