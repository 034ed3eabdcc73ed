package leveldblog

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// retryPause is between a snapshot that failed and the next try.
const retryPause = 10 * time.Second

// keeper is where work stands with snapshots. At most one is being written.
type keeper struct {
	grown   uint64               // bytes of commands since the last one began
	writing bool                 // one is being written; these three are of it
	before  uint64               // what had grown until it began
	callers []chan error         // who waits for it
	next    []chan error         // who came too late for it
	written chan snapshotOutcome // has room for one
	retry   <-chan time.Time     // after one that failed, not before this; nil: at any time
}

// snapshotOutcome is what came of writing one.
type snapshotOutcome struct {
	ref snapshotRef
	err error
}

// due tells whether the log has grown enough.
func (k *keeper) due(atLeast uint64, last snapshotRef) bool {
	return !k.writing && k.retry == nil && k.grown > max(atLeast, uint64(last.Size))
}

// Snapshot implements log.Log.
func (l *Log[R]) Snapshot(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	caller := make(chan error, 1)
	select {
	case l.asked <- caller:
	case <-l.done:
		return l.reason()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-caller:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// snapshotFor serves a caller of Snapshot: by a snapshot that begins after the call.
func (l *Log[R]) snapshotFor(caller chan error) {
	l.keep.next = append(l.keep.next, caller)
	if !l.keep.writing {
		l.snapshot()
	}
}

// snapshot captures what is applied and has it written while work goes on.
func (l *Log[R]) snapshot() {
	k := &l.keep
	k.callers, k.next = k.next, nil
	l.mu.Lock()
	index := l.applied
	l.mu.Unlock()
	if index == l.store.snapshot.Index {
		l.snapshotDone(snapshotOutcome{ref: l.store.snapshot}) // nothing is new
		return
	}
	state, err := l.machine.Snapshot()
	k.writing, k.before, k.grown = true, k.grown, 0
	if err != nil {
		l.snapshotDone(snapshotOutcome{err: err})
		return
	}
	l.running.Go(func() {
		ref, err := l.write(index, state)
		k.written <- snapshotOutcome{ref, err}
	})
}

func (l *Log[R]) write(index uint64, state io.WriterTo) (ref snapshotRef, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.store.writeSnapshot(index, state)
}

// snapshotDone has a snapshot count that was written, and tells who waits for it.
func (l *Log[R]) snapshotDone(o snapshotOutcome) {
	k := &l.keep
	k.writing = false
	if o.err != nil {
		k.grown += k.before
		k.retry = time.After(retryPause)
		l.cfg.Logger.Error("snapshot failed, the log grows until one succeeds", "error", o.err)
	} else if o.ref != l.store.snapshot {
		if o.err = l.store.adopt(o.ref); o.err != nil {
			l.halt("the disk failed", o.err)
		}
	}
	for _, caller := range k.callers {
		caller <- o.err
	}
	if k.callers = nil; len(k.next) > 0 && l.reason() == nil {
		l.snapshot()
	}
}

// noMoreSnapshots waits for the one that is being written, and disappoints who waits.
func (l *Log[R]) noMoreSnapshots() {
	k := &l.keep
	if k.writing {
		<-k.written
	}
	for _, caller := range append(k.callers, k.next...) {
		caller <- l.reason()
	}
}
