package zklog

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
)

// always is ready.
var always = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// rule is one reign: it takes the head over, then appends what is proposed until the session ends or the candidate is
// gone. It returns why the reign ended.
func (l *Log[R]) rule(s *session, me string, h head) (err error) {
	for {
		if err := l.catchUp(s, h); err != nil {
			return err
		}
		mine := h
		mine.Reign++
		mine.Leader, mine.Candidate = l.cfg.ID, me
		if mine, err = s.change(h, mine); err == nil {
			h = mine
			break
		} else if !errors.Is(err, errDeposed) {
			return err
		}
		// The leader before has written once more, or this candidate is gone.
		if h, _, err = s.head(); err != nil {
			return err
		}
		if err := s.confirm(me); err != nil {
			return err
		}
	}
	if l.unknown != nil { // the head has moved on without it
		l.unknown.answer(^uint64(0), errDeposed)
		l.unknown = nil
	}
	if err := s.tidy(h); err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	there, gone, err := s.watch(candidate(me))
	if err != nil {
		return err
	}
	if !there {
		return errDeposed
	}
	current := &reign{session: s, candidate: me}
	current.Context, current.end = context.WithCancelCause(s)
	l.mu.Lock()
	l.head, l.reign, l.leader, l.caughtUp = h, current, l.cfg.ID, true
	l.wake()
	l.mu.Unlock()
	l.cfg.Logger.Info("leading", "reign", h.Reign, "last", h.Last)
	defer func() {
		s.end(err)
		current.end(l.orEnded(err))
		l.mu.Lock()
		waiting := l.waiting
		l.reign, l.waiting = nil, nil
		l.wake()
		l.mu.Unlock()
		refuse(waiting, l.orEnded(log.ErrNotLeader))
		l.noMoreSnapshots()
	}()
	for {
		if batch := l.next(); len(batch) > 0 {
			if err := l.commit(s, batch); err != nil {
				return err
			}
		}
		if l.keep.due(l.cfg.SnapshotBytes, l.head.Snapshot) {
			l.snapshot(s)
		}
		dropping, err := l.drop(s)
		if err != nil {
			return err
		}
		arrived := l.arrived
		if dropping || l.more() { // the others have their turn in between all the same
			arrived = always
		}
		select {
		case <-arrived:
		case caller := <-l.asked:
			l.snapshotFor(s, caller)
		case o := <-l.keep.written:
			if err := l.snapshotDone(s, o); err != nil {
				return err
			}
		case <-l.keep.retry:
			l.keep.retry = nil
		case <-gone:
			if s.Err() == nil {
				return errDeposed
			}
		case <-s.Done():
			return context.Cause(s)
		}
	}
}

// commit appends a batch and applies it.
func (l *Log[R]) commit(s *session, batch []*proposal[R]) error {
	f := &flight[R]{before: l.head, first: l.head.Last + 1, proposals: batch}
	nonces, commands := make([]nonce, len(batch)), make([][]byte, len(batch))
	for i, p := range batch {
		nonces[i], commands[i] = p.nonce, p.command
	}
	h, err := s.append(l.head, l.head.Reign, nonces, commands)
	switch {
	case errors.Is(err, errNothingSent):
		f.answer(^uint64(0), fmt.Errorf("%w: %w", log.ErrNotLeader, err))
		return err
	case errors.Is(err, errDeposed):
		f.answer(^uint64(0), errDeposed)
		return err
	case err != nil: // the next session finds out
		l.unknown = f
		return err
	}
	l.mu.Lock()
	l.head = h
	l.mu.Unlock()
	l.unknown = f
	for i, command := range commands {
		if err := l.apply(entry{index: f.first + uint64(i), reign: h.Reign, nonce: nonces[i], command: command}); err != nil {
			return err
		}
	}
	l.unknown = nil
	return nil
}

// dropBatch is how many entries are dropped together, between two batches of commands.
const dropBatch = 200

// drop removes some entries that are no longer wanted, and tells whether there are more.
func (l *Log[R]) drop(s *session) (more bool, err error) {
	h := l.head
	if h.Tail >= h.Keep {
		return false, nil
	}
	until := min(h.Tail+dropBatch, h.Keep)
	var ops []any
	for index := h.Tail; index < until; index++ {
		ops = append(ops, &zk.DeleteRequest{Path: s.entry(index), Version: -1})
	}
	err = s.insist(func() error {
		_, err := s.conn.Multi(ops...)
		return err
	})
	if errors.Is(err, zk.ErrNoNode) { // some are gone: the leader before was here, or an attempt whose answer was lost
		err = nil
		for index := h.Tail; index < until && err == nil; index++ {
			err = s.remove(entryNode(index))
		}
	}
	if err != nil {
		return false, fmt.Errorf("drop entries from %d on: %w", h.Tail, err)
	}
	h.Tail = until // noted there with the next change of the head
	l.mu.Lock()
	l.head = h
	l.mu.Unlock()
	return h.Tail < h.Keep, nil
}
