package registrar

import (
	"sync"
	"sync/atomic"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// request is one caller's operations on their way to the log.
type request struct {
	batch fsm.Batch
	state atomic.Int32
	done  chan struct{} // closed once result and err are there
	// Of the writer until done is closed.
	result fsm.Result
	err    error
}

// The states of a request. It leaves queued once, for one of the others.
const (
	queued int32 = iota
	proposed
	withdrawn
)

func (q *request) withdraw() bool { return q.state.CompareAndSwap(queued, withdrawn) }
func (q *request) propose() bool  { return q.state.CompareAndSwap(queued, proposed) }

func (q *request) answer(result fsm.Result, err error) {
	q.result, q.err = result, err
	close(q.done)
}

// queue is what waits to be proposed, in the order of arrival. It takes requests only during a reign.
type queue struct {
	maxOps, maxBytes int
	arrived          chan struct{} // holds a token when there may be something to take

	mu         sync.Mutex
	isOpen     bool
	waiting    []*request
	ops, bytes int // of all in waiting that were not withdrawn
}

func (q *queue) init(c Config) {
	q.maxOps, q.maxBytes = c.QueueOps, c.QueueBytes
	q.arrived = make(chan struct{}, 1)
}

func (q *queue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isOpen = true
}

// close returns what will not be proposed any more.
func (q *queue) close() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.waiting
	q.isOpen, q.waiting, q.ops, q.bytes = false, nil, 0, 0
	return left
}

// add fails with log.ErrNotLeader outside a reign and with ErrBusy when too much waits. A request that alone
// exceeds the bounds is taken by an empty queue.
func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.isOpen {
		return log.ErrNotLeader
	}
	if q.ops > 0 && (q.ops+r.batch.Ops() > q.maxOps || q.bytes+r.batch.Bytes() > q.maxBytes) {
		return ErrBusy
	}
	q.waiting = append(q.waiting, r)
	q.ops += r.batch.Ops()
	q.bytes += r.batch.Bytes()
	select {
	case q.arrived <- struct{}{}:
	default: // the writer has been told
	}
	return nil
}

// forget gives back the room of a withdrawn request; take passes over it later.
func (q *queue) forget(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isOpen {
		q.ops -= r.batch.Ops()
		q.bytes -= r.batch.Bytes()
	}
}

// take gives the next requests that fit into one batch, one at least where any waits, and makes them proposed.
func (q *queue) take(maxOps, maxBytes int) (batch []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ops, bytes := 0, 0
	for len(q.waiting) > 0 {
		next := q.waiting[0]
		if len(batch) > 0 && (ops+next.batch.Ops() > maxOps || bytes+next.batch.Bytes() > maxBytes) {
			break
		}
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		if !next.propose() {
			continue // its caller withdrew it
		}
		batch = append(batch, next)
		ops += next.batch.Ops()
		bytes += next.batch.Bytes()
	}
	q.ops -= ops
	q.bytes -= bytes
	if len(q.waiting) == 0 {
		q.waiting = nil // lets go of the array, whose front is used up
	}
	return batch
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ops
}
