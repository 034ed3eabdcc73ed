package transport

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Progress is what this node, as a leader, knows of another.
type Progress struct {
	// Term in which the rest was learnt. What was learnt in an older term is forgotten.
	Term uint64
	// Answered is when the last AppendEntries that was answered in Term was started: at that moment or later
	// the node still took this one for its leader. Zero before the first.
	Answered time.Time
	// Match is the last index known to be in both logs alike.
	Match uint64
}

// book holds the progress of every peer.
type book struct {
	mu      sync.Mutex
	of      map[raft.ServerID]Progress
	changed chan struct{} // closed at the next note; nil while nobody waits
}

// Progress tells how far the peer is in term; it is zero when nothing was heard from it in that term.
func (p *Peer) Progress(id string, term uint64) Progress {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	if got := p.book.of[raft.ServerID(id)]; got.Term == term {
		return got
	}
	return Progress{Term: term}
}

// Progressed is closed when the progress of any peer changes after the call.
func (p *Peer) Progressed() <-chan struct{} {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	if p.book.changed == nil {
		p.book.changed = make(chan struct{})
	}
	return p.book.changed
}

// note takes in an answer of term to a call that was started then. match is 0 where it tells nothing.
func (b *book) note(id raft.ServerID, term uint64, started time.Time, match uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.of[id]
	if term < at.Term {
		return
	}
	if term > at.Term {
		at = Progress{Term: term}
	}
	if started.After(at.Answered) {
		at.Answered = started
	}
	at.Match = max(at.Match, match)
	b.of[id] = at
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// matched is the last index that a successful answer to args shows to be in both logs. A heartbeat names no
// entry and shows nothing.
func matched(args *raft.AppendEntriesRequest) uint64 {
	if n := len(args.Entries); n > 0 {
		return args.Entries[n-1].Index
	}
	return args.PrevLogEntry
}
