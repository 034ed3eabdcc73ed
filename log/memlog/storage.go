package memlog

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/registrard/registrard/log"
)

// Storage is what the nodes of one log share and what outlives them: entries, the last snapshot, and who
// leads. The zero value is an empty log. It must not be copied.
type Storage struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil while nobody waits

	entries  [][]byte // commands; entries[i] has index snapshot.at.entry+1+i; nil opens a reign
	bytes    uint64   // their sum
	snapshot snapshot // its zero value before the first one

	nodes  []string // open nodes, longest open first
	term   uint64   // counts reigns
	leader string   // node that leads, empty when none does
	start  uint64   // index of the entry that opened its reign
	reign  context.Context
	end    context.CancelCauseFunc
}

// position is how far a node has consumed the log.
type position struct {
	entry   uint64 // last entry
	command uint64 // last entry that carried a command
}

type snapshot struct {
	at   position
	data []byte
}

// last is the index of the newest entry. The caller holds mu.
func (s *Storage) last() uint64 { return s.snapshot.at.entry + uint64(len(s.entries)) }

// wake tells every waiter to look again. The caller holds mu.
func (s *Storage) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// wait is closed at the next change. The caller holds mu.
func (s *Storage) wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// join adds an open node, which leads when it is the first.
func (s *Storage) join(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.nodes, id) {
		return fmt.Errorf("node %q has this storage open already", id)
	}
	s.nodes = append(s.nodes, id)
	if len(s.nodes) == 1 {
		s.crown(id, nil)
	}
	return nil
}

// leave takes a node out; if it led, its reign ends because of cause and the next in line leads.
func (s *Storage) leave(id string, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = slices.DeleteFunc(s.nodes, func(n string) bool { return n == id })
	switch {
	case s.leader != id:
	case len(s.nodes) > 0:
		s.crown(s.nodes[0], cause)
	default:
		s.crown("", cause)
	}
}

// depose ends the reign of id, if it leads; nobody leads after.
func (s *Storage) depose(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == id {
		s.crown("", fmt.Errorf("%w: the reign was lost", log.ErrNotLeader))
	}
}

// take makes id the leader, in a new reign, whoever led before.
func (s *Storage) take(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.nodes, id) {
		s.crown(id, fmt.Errorf("%w: the reign was taken by %q", log.ErrNotLeader, id))
	}
}

// crown ends the present reign because of cause and begins that of id, unless it is empty. The caller
// holds mu.
func (s *Storage) crown(id string, cause error) {
	if s.end != nil {
		s.end(cause)
	}
	s.leader, s.reign, s.end = id, nil, nil
	if id != "" {
		s.term++
		s.reign, s.end = context.WithCancelCause(context.Background())
		s.start = s.append(nil)
	}
	s.wake()
}

// reignOf is the reign of id and the index that opened it, or nil and what to wait for.
func (s *Storage) reignOf(id string) (reign context.Context, start uint64, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != id {
		return nil, 0, s.wait()
	}
	return s.reign, s.start, nil
}

// lastFor is the index of the newest entry, for the leader.
func (s *Storage) lastFor(id string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != id {
		return 0, log.ErrNotLeader
	}
	return s.last(), nil
}

// propose appends a command of id, if it leads.
func (s *Storage) propose(id string, command []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != id {
		return 0, log.ErrNotLeader
	}
	return s.append(command), nil
}

// force appends a command whose reply is lost, and perhaps its reign too.
func (s *Storage) force(command []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(command)
}

// append stores a command, nil where a reign opens, and returns its index. The caller holds mu.
func (s *Storage) append(command []byte) uint64 {
	s.entries = append(s.entries, command)
	s.bytes += uint64(len(command))
	s.wake()
	return s.last()
}

// next is what a node consumes next: a snapshot where the entry is dropped already, else a command. A
// channel instead says that there is nothing yet, and when to look again.
type next struct {
	snapshot snapshot
	command  []byte
	changed  <-chan struct{}
}

// after is what follows index.
func (s *Storage) after(index uint64) next {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch base := s.snapshot.at.entry; {
	case index < base:
		return next{snapshot: s.snapshot}
	case index < s.last():
		return next{command: s.entries[index-base]}
	default:
		return next{changed: s.wait()}
	}
}

// keep replaces the snapshot, unless it has a newer one, and drops the entries that it covers.
func (s *Storage) keep(to snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to.at.entry <= s.snapshot.at.entry {
		return
	}
	covered := to.at.entry - s.snapshot.at.entry
	for _, command := range s.entries[:covered] {
		s.bytes -= uint64(len(command))
	}
	s.entries = slices.Clone(s.entries[covered:]) // the old array would keep the commands alive
	s.snapshot = to
	s.wake()
}

// oversized tells whether the entries take more than limit and more than the snapshot that is there, and
// what to wait for.
func (s *Storage) oversized(limit uint64) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes > max(limit, uint64(len(s.snapshot.data))), s.wait()
}

// status is what id knows of the log; how far it has applied it is for the caller to add.
func (s *Storage) status(id string) log.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	role := log.Follower
	if s.leader == id {
		role = log.Leader
	}
	return log.Status{
		ID: id, Cluster: "memory", Role: role, Leader: s.leader,
		Term: s.term, Commit: s.last(), Last: s.last(),
	}
}
