package leveldblog

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/registrard/registrard/log"
)

// proposal is a command on its way.
type proposal[R any] struct {
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
	if l.ended {
		l.mu.Unlock()
		return l.reason()
	}
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()
	select {
	case l.arrived <- struct{}{}:
	default: // work has been told
	}
	return nil
}

// next takes what waits, up to a batch.
func (l *Log[R]) next() (batch []*proposal[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for len(l.waiting) > 0 {
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

// closed is always ready.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// work is the one goroutine that writes and applies, until the log ends.
func (l *Log[R]) work() {
	defer l.noMoreSnapshots()
	for l.reason() == nil {
		if batch := l.next(); len(batch) > 0 {
			l.commit(batch)
		}
		if l.keep.due(l.cfg.SnapshotBytes, l.store.snapshot) {
			l.snapshot()
		}
		arrived := l.arrived
		if l.more() { // the others have their turn between two batches all the same
			arrived = closed
		}
		select {
		case <-arrived:
		case caller := <-l.asked:
			l.snapshotFor(caller)
		case o := <-l.keep.written:
			l.snapshotDone(o)
		case <-l.keep.retry:
			l.keep.retry = nil
		case <-l.done:
		}
	}
}

func (l *Log[R]) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// commit makes a batch durable and applies it. Once the write has begun only "perhaps" is left for what it did not
// get through.
func (l *Log[R]) commit(batch []*proposal[R]) {
	commands := make([][]byte, len(batch))
	for i, p := range batch {
		commands[i] = p.command
		l.keep.grown += uint64(len(p.command))
	}
	first := l.store.last + 1
	l.mu.Lock()
	l.last = first + uint64(len(batch)) - 1
	l.mu.Unlock()
	err := l.store.append(commands)
	if err == nil {
		err = l.store.acknowledge()
	}
	if err != nil {
		l.halt("the disk failed", err)
	}
	for i, p := range batch {
		var r reply[R]
		if err == nil {
			r.result, err = l.apply(first+uint64(i), p.command)
		}
		if err != nil {
			r.err = fmt.Errorf("%w: %w", log.ErrUncertain, err)
		}
		p.answer <- r
	}
}

// apply hands one command to the machine. An error, or a panic, halts the log before it.
func (l *Log[R]) apply(index uint64, command []byte) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			l.halt(fmt.Sprintf("before the command at index %d", index), err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.applied = index
		if l.moved != nil {
			close(l.moved)
			l.moved = nil
		}
	}()
	return l.machine.Apply(index, command)
}
