package memlog

import (
	"context"
	"fmt"

	"github.com/registrard/registrard/log"
)

// Fate is what becomes of a proposal once it is handed over.
type Fate uint8

// The fates. If the reign ended while the fate was being decided, all three answer log.ErrUncertain.
const (
	Append    Fate = iota // it becomes part of the log and is answered
	LoseReply             // it becomes part of the log; the answer is log.ErrUncertain
	Drop                  // it never becomes part of the log; the answer is log.ErrUncertain
)

// OnPropose lets decide choose the fate of every proposal from now on; nil goes back to Append. It is
// called once the proposal was handed over, one call at a time, with the proposer's context, and may block
// until that ends, and may call every method of the Log but Propose: LoseReign within it leaves the
// proposal in flight when the reign ends.
func (l *Log[R]) OnPropose(decide func(ctx context.Context, command []byte) Fate) {
	if decide == nil {
		l.fate.Store(nil)
		return
	}
	l.fate.Store(&decide)
}

// LoseReign ends this node's reign, if it leads. Nobody leads until a node's TakeReign.
func (l *Log[R]) LoseReign() { l.storage.depose(l.cfg.ID) }

// TakeReign makes this node the leader, in a new reign, whoever led before.
func (l *Log[R]) TakeReign() { l.storage.take(l.cfg.ID) }

// Halt stops the node for good, as a broken disk would. Err wraps log.ErrHalted and err.
func (l *Log[R]) Halt(err error) { l.end(fmt.Errorf("%w: %w", log.ErrHalted, err)) }

// Propose implements log.Log.
func (l *Log[R]) Propose(ctx context.Context, command []byte) (R, error) {
	var none R
	if len(command) > l.cfg.MaxCommand {
		return none, fmt.Errorf("%w: %d bytes, at most %d", log.ErrTooLarge, len(command), l.cfg.MaxCommand)
	}
	answer, err := l.handOver(ctx, command)
	if err != nil {
		return none, err
	}
	select {
	case r := <-answer:
		return r.result, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", log.ErrUncertain, context.Cause(ctx))
	}
}

// handOver appends the command, in turn, and returns where its reply will be.
func (l *Log[R]) handOver(ctx context.Context, command []byte) (<-chan reply[R], error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-l.done:
		return nil, l.reason()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}

	decide := l.fate.Load()
	if decide == nil {
		return l.append(command)
	}
	if err := l.leads(); err != nil {
		return nil, err
	}
	fate := (*decide)(ctx, command)
	if fate == Append {
		answer, err := l.append(command)
		if err == nil {
			return answer, nil
		}
	}
	if fate != Drop {
		l.storage.force(own(command))
	}
	return nil, fmt.Errorf("%w: as the test decided", log.ErrUncertain)
}

// leads fails unless this node leads.
func (l *Log[R]) leads() error {
	if err := l.reason(); err != nil {
		return err
	}
	_, err := l.storage.lastFor(l.cfg.ID)
	return err
}

// append stores the command if this node leads, and notes who waits for its reply.
func (l *Log[R]) append(command []byte) (<-chan reply[R], error) {
	if err := l.reason(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		return nil, log.ErrClosed // ended since; what was not appended is a "no" either way
	}
	index, err := l.storage.propose(l.cfg.ID, own(command))
	if err != nil {
		return nil, err
	}
	answer := make(chan reply[R], 1)
	l.waiting[index] = answer
	return answer, nil
}

// own copies a command. It is never nil, even where command is: nil opens a reign.
func own(command []byte) []byte { return append([]byte{}, command...) }
