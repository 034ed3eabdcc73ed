package raftlog

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// BreakDisk does what the first failed write does.
func (l *Log[R]) BreakDisk(err error) { l.stores.guard.Fail(err) }

// Reopen starts raft again, as after a snapshot that it cannot go on from.
func (l *Log[R]) Reopen() { l.background(l.reopen) }

// CloseStores closes what Close has to leave open where raft did not stop.
func (l *Log[R]) CloseStores() error { return l.stores.close() }

// StoreTerm stores a term as raft does, where raft's goroutine would be.
func (l *Log[R]) StoreTerm(term uint64) error {
	return l.stores.contained(func() error {
		return votes{l.stores.vote, l.stores}.SetUint64([]byte("CurrentTerm"), term)
	})
}

// LeavesReaders has a reign that has ended look for readers, and tells whether it left them to the next one.
func LeavesReaders() bool {
	next, ended := &reign{}, &reign{}
	ended.ctx, ended.end = context.WithCancelCause(context.Background())
	ended.end(errDeposed)
	l := &Log[struct{}]{reign: next, asking: &round{}}
	l.confirm(ended)
	return l.asking != nil
}

// Grown is by how many bytes the log has grown since the last snapshot.
func (l *Log[R]) Grown() uint64 {
	grown, _ := l.machine.growth()
	return grown
}

// NewWire is a transport as raft sees it.
func NewWire(t raftTransport, sends func(uint64, raft.Server) bool) raft.Transport {
	return wire{raftTransport: t, sends: sends, logger: hclog.NewNullLogger()}
}

// NewCanvass is a transport as raft sees it on a voter, or not, to members that know these voters.
func NewCanvass(t raftTransport, votes bool, voters ...string) raft.WithPreVote {
	return wire{
		raftTransport: t, votes: func() bool { return votes }, heartbeat: time.Minute,
		voters: func(raft.ServerID, raft.ServerAddress) []string { return voters },
	}
}
