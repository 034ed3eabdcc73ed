package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/log"
)

// enqueueTimeout is how long raft may take to take a call in. It is busy that long only while its disk is.
const enqueueTimeout = time.Second

// Propose implements log.Log. While leadership is being transferred it waits for how that ends.
func (l *Log[R]) Propose(ctx context.Context, command []byte) (R, error) {
	var none R
	if len(command) > l.cfg.MaxCommand {
		return none, fmt.Errorf("%w: %d bytes, at most %d", log.ErrTooLarge, len(command), l.cfg.MaxCommand)
	}
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	r, err := l.current()
	if err != nil {
		return none, err
	}
	err = l.until(ctx, func() bool {
		ready := !l.paused || l.reign != r
		if ready {
			l.proposing++
		}
		return ready
	})
	if err != nil {
		return none, err
	}
	defer l.update(func() { l.proposing-- })
	if r.ctx.Err() != nil {
		return none, context.Cause(r.ctx)
	}
	f, err := l.fly(ctx, func(n *raft.Raft) raft.Future { return n.Apply(command, enqueueTimeout) })
	if err != nil {
		return none, verdict(err)
	}
	o := f.(raft.ApplyFuture).Response().(outcome[R])
	if o.err != nil {
		return none, fmt.Errorf("%w: %w", log.ErrUncertain, o.err)
	}
	return o.result, nil
}

// errUnanswered: nobody will say any more what became of a call.
var errUnanswered = fmt.Errorf("%w: no answer from raft", log.ErrUncertain)

// fly hands a call to raft and waits for its answer, ctx, or raft's end. Every call that raft answers later
// goes through here, because raft's futures know no deadline and retire must know of them.
func (l *Log[R]) fly(ctx context.Context, call func(*raft.Raft) raft.Future) (raft.Future, error) {
	ended := false
	l.update(func() {
		if ended = l.ended; !ended {
			l.flying++
		}
	})
	if ended {
		return nil, l.reason()
	}
	var f raft.Future
	answer := make(chan error, 1)
	go func() {
		defer l.update(func() { l.flying-- })
		f = call(l.raft.Load())
		answer <- f.Error()
	}()
	select {
	case err := <-answer:
		return f, err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", log.ErrUncertain, context.Cause(ctx))
	case <-l.retired:
	}
	select {
	case err := <-answer:
		return f, err
	default:
		return nil, fmt.Errorf("%w: %w", errUnanswered, l.reason())
	}
}

// verdict turns an error of raft, or of fly, into "no" or "perhaps". Raft gives ErrNotLeader and
// ErrLeadershipTransferInProgress for entries that it did not store, and ErrEnqueueTimeout for what it did
// not even take. Everything else may come after an entry was stored: ErrLeadershipLost, ErrRaftShutdown,
// whatever a disk says.
func verdict(err error) error {
	switch {
	case planted.PerhapsIsNo:
		return fmt.Errorf("%w: %v", log.ErrNotLeader, err)
	case errors.Is(err, log.ErrUncertain), errors.Is(err, log.ErrHalted), errors.Is(err, log.ErrClosed):
		return err
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", log.ErrNotLeader, err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("raft takes no commands: %w", err)
	default:
		return fmt.Errorf("%w: %w", log.ErrUncertain, err)
	}
}
