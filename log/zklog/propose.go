package zklog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
)

// proposal is a command on its way.
type proposal[R any] struct {
	nonce   nonce
	command []byte
	taken   atomic.Bool   // by work, which answers it, or by its caller, who gave up
	answer  chan reply[R] // has room for one
}

// take tells whether the proposal is the caller's now, and nobody else's.
func (p *proposal[R]) take() bool { return p.taken.CompareAndSwap(false, true) }

type reply[R any] struct {
	result R
	err    error
}

// refuse answers proposals that were not taken.
func refuse[R any](waiting []*proposal[R], err error) {
	for _, p := range waiting {
		if p.take() {
			p.answer <- reply[R]{err: err}
		}
	}
}

// Propose implements log.Log.
func (l *Log[R]) Propose(ctx context.Context, command []byte) (R, error) {
	var none R
	switch {
	case len(command) > l.cfg.MaxCommand:
		return none, fmt.Errorf("%w: %d bytes, at most %d", log.ErrTooLarge, len(command), l.cfg.MaxCommand)
	case ctx.Err() != nil:
		return none, context.Cause(ctx)
	}
	p := &proposal[R]{command: append([]byte(nil), command...), answer: make(chan reply[R], 1)}
	_, _ = rand.Read(p.nonce[:]) // never fails
	if err := l.enqueue(p); err != nil {
		return none, err
	}
	select {
	case r := <-p.answer:
		return r.result, r.err
	case <-ctx.Done():
		if p.take() { // it waits still, and will be passed over
			return none, context.Cause(ctx)
		}
		return none, fmt.Errorf("%w: %w", log.ErrUncertain, context.Cause(ctx))
	}
}

func (l *Log[R]) enqueue(p *proposal[R]) error {
	if err := l.reason(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.ended || l.reign == nil || l.reign.Err() != nil {
		l.mu.Unlock()
		return l.orEnded(log.ErrNotLeader)
	}
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()
	select {
	case l.arrived <- struct{}{}:
	default: // work has been told
	}
	return nil
}

// next takes what waits, up to what one request to the ensemble holds. A command that is too large for a node comes
// by itself.
func (l *Log[R]) next() (batch []*proposal[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for len(l.waiting) > 0 && len(batch) < batchCount {
		p := l.waiting[0]
		if len(batch) > 0 && size+len(p.command) > batchBytes {
			break
		}
		l.waiting = l.waiting[1:]
		if p.take() {
			batch = append(batch, p)
			size += len(p.command)
		}
	}
	return batch
}

func (l *Log[R]) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// flight is commands that were handed to the ensemble together.
type flight[R any] struct {
	before    head // what it was made for: it happens then, or never
	first     uint64
	proposals []*proposal[R]
}

// at is the proposal whose command is to become the entry at index, nil where there is none.
func (f *flight[R]) at(index uint64) *proposal[R] {
	if f == nil || index < f.first || index >= f.first+uint64(len(f.proposals)) {
		return nil
	}
	return f.proposals[index-f.first]
}

// answer answers those that have no answer yet, of the entries up to index.
func (f *flight[R]) answer(index uint64, err error) {
	for i, p := range f.proposals {
		if p != nil && f.first+uint64(i) <= index {
			p.answer <- reply[R]{err: err}
			f.proposals[i] = nil
		}
	}
}

// errDeposed: another member has taken over, or the candidate that this one led by was removed.
var errDeposed = fmt.Errorf("%w: deposed", log.ErrNotLeader)

// confirm has a majority commit that a candidate is there.
func (s *session) confirm(name string) error {
	err := s.insist(func() error {
		_, err := s.conn.Multi(s.check(name))
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return errDeposed
	}
	return err
}

func (s *session) check(name string) *zk.CheckVersionRequest {
	return &zk.CheckVersionRequest{Path: s.path(candidate(name)), Version: -1}
}

// change moves the head from one state to the next, together with whatever else ops do, or does nothing. It happens only
// while the candidate is there and the head is the one before, which is why an attempt whose answer was lost may be
// repeated, and why errDeposed says that none of them happened nor will. Any other error leaves it open.
//
// Versions are 32 bits and come round after two thousand million changes, and one of them, -1, matches any; then the
// candidate alone keeps a deposed leader out.
func (s *session) change(from head, to head, ops ...any) (head, error) {
	data, err := encodeDocument(to)
	if err != nil {
		return from, err
	}
	all := append([]any{s.check(to.Candidate), &zk.SetDataRequest{Path: s.path(headNode), Data: data, Version: from.version}}, ops...)
	var done []zk.MultiResponse
	err = s.insist(func() (err error) {
		done, err = s.conn.Multi(all...)
		return err
	})
	switch {
	case err == nil:
		to.version, to.zxid = done[1].Stat.Version, done[1].Stat.Mzxid
		return to, nil
	case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNodeExists):
	default:
		return from, err
	}
	// Somebody else was there before, or an earlier attempt of ours: only the leader writes, one thing after the other.
	if err := s.sync(); err != nil {
		return from, err
	}
	now, _, err := s.head()
	if err != nil {
		return from, err
	}
	to.version, to.zxid = now.version, now.zxid
	if now == to {
		return now, nil
	}
	return from, errDeposed
}

// append makes commands entries. What it returns is the head after that.
func (s *session) append(from head, reign uint64, nonces []nonce, commands [][]byte) (head, error) {
	to := from
	var ops []any
	for i, command := range commands {
		to.Last++
		e := entry{index: to.Last, reign: reign, nonce: nonces[i], command: command}
		if len(command) > partBytes {
			w, err := s.newBlob(e.blob().Name, e.index)
			if err == nil {
				_, err = w.Write(command)
			}
			if err == nil {
				err = w.flush()
			}
			if err != nil {
				return from, fmt.Errorf("%w: %w", errNothingSent, err)
			}
			e.parts = uint32(w.ref.Parts)
		}
		ops = append(ops, s.create(entryNode(e.index), e.encode()))
	}
	return s.change(from, to, ops...)
}

// errNothingSent: what makes the command count was not even tried.
var errNothingSent = errors.New("the command's parts could not be written")
