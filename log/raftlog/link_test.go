package raftlog_test

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/transport"
)

// cuts are the links between members that carry nothing, from and to, and the members that hear no answer.
type cuts struct {
	mu   sync.Mutex
	cut  map[[2]string]bool
	deaf map[string]bool
	// told, where it is not nil, is what a call to stand for election waits for, to get lost then.
	told chan struct{}
}

// holdTimeoutNow has calls to stand for election answered by nobody until release is called.
func (c *cuts) holdTimeoutNow() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := make(chan struct{})
	c.told = told
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = nil
		close(told)
	}
}

// deafen lets the calls of a member through and loses the answers.
func (c *cuts) deafen(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf[id] = true
}

func (c *cuts) answer(from string, to raft.ServerID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf[from] {
		return fmt.Errorf("%s from %s: %w", from, to, errCut)
	}
	return nil
}

func (c *cuts) isolate(id string, from ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range from {
		c.cut[[2]string{id, other}], c.cut[[2]string{other, id}] = true, true
	}
}

func (c *cuts) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cut)
	clear(c.deaf)
}

var errCut = errors.New("the link is cut")

// between fails when a call from one to the other, or its answer, gets lost.
func (c *cuts) between(from string, to raft.ServerID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[[2]string{from, string(to)}] {
		return fmt.Errorf("%s to %s: %w", from, to, errCut)
	}
	return nil
}

// link is a Peer whose calls can be cut. A call that is under way when its link is cut loses its answer.
type link struct {
	*transport.Peer
	cuts *cuts
}

func (l *link) call(id raft.ServerID, f func() error) error {
	if err := l.cuts.between(l.ID(), id); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return errors.Join(l.cuts.between(l.ID(), id), l.cuts.answer(l.ID(), id))
}

func (l *link) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return l.call(id, func() error { return l.Peer.AppendEntries(id, addr, args, resp) })
}

func (l *link) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return l.call(id, func() error { return l.Peer.InstallSnapshot(id, addr, args, resp, data) })
}

func (l *link) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return l.call(id, func() error { return l.Peer.RequestVote(id, addr, args, resp) })
}

func (l *link) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return l.call(id, func() error { return l.Peer.RequestPreVote(id, addr, args, resp) })
}

func (l *link) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	l.cuts.mu.Lock()
	told := l.cuts.told
	l.cuts.mu.Unlock()
	if told != nil {
		<-told
		return errCut
	}
	return l.call(id, func() error { return l.Peer.TimeoutNow(id, addr, args, resp) })
}
