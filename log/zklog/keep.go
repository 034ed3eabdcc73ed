package zklog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/registrard/registrard/log"
)

// retryPause is between a snapshot that failed and the next try.
const retryPause = 10 * time.Second

// keeper is where work stands with snapshots. At most one is being written, in a goroutine of its own.
type keeper struct {
	grown   uint64               // bytes of commands since the last one began
	writing bool                 // one is being written
	before  uint64               // what had grown until it began
	callers []chan error         // who waits for it
	next    []chan error         // who came too late for it
	written chan snapshotOutcome // has room for one
	retry   <-chan time.Time     // after one that failed, not before this
}

// snapshotOutcome is what came of writing one.
type snapshotOutcome struct {
	ref blobRef
	err error
}

// due tells whether the log has grown enough.
func (k *keeper) due(atLeast uint64, last blobRef) bool {
	return !k.writing && k.retry == nil && k.grown > max(atLeast, uint64(last.Size))
}

// Snapshot implements log.Log. Only the leader takes one, for all.
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
func (l *Log[R]) snapshotFor(s *session, caller chan error) {
	l.keep.next = append(l.keep.next, caller)
	if !l.keep.writing {
		l.snapshot(s)
	}
}

// snapshot captures what is applied and has it written while work goes on.
func (l *Log[R]) snapshot(s *session) {
	k := &l.keep
	k.callers, k.next = k.next, nil
	index := l.position()
	if index == l.head.Snapshot.Index {
		k.tell(nil) // nothing is new
		return
	}
	state, err := l.machine.Snapshot()
	k.writing, k.before, k.grown = true, k.grown, 0
	if err != nil {
		k.written <- snapshotOutcome{err: err}
		return
	}
	l.running.Go(func() {
		ref, err := s.writeSnapshot(snapshotName(index), index, state)
		k.written <- snapshotOutcome{ref, err}
	})
}

// snapshotName is of a blob that nobody else writes.
func snapshotName(index uint64) string { return fmt.Sprintf("s-%020d-%s", index, rand.Text()) }

func (s *session) writeSnapshot(name string, index uint64, state io.WriterTo) (ref blobRef, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	w, err := s.newBlob(name, index)
	if err != nil {
		return ref, err
	}
	_, err = state.WriteTo(w)
	if err == nil {
		err = w.flush()
	}
	return w.ref, err
}

// tell answers who waits for the snapshot.
func (k *keeper) tell(err error) {
	for _, caller := range k.callers {
		caller <- err
	}
	k.callers = nil
}

// snapshotDone has a snapshot count that was written, and tells who waits for it. Entries are dropped up to the snapshot
// before, so that members which are a little behind find what they need. Only the end of the reign is an error.
func (l *Log[R]) snapshotDone(s *session, o snapshotOutcome) (over error) {
	k := &l.keep
	k.writing = false
	if o.err == nil {
		to := l.head
		to.Keep, to.Snapshot = max(to.Keep, to.Snapshot.Index+1), o.ref
		h, err := s.change(l.head, to)
		if over = err; err == nil {
			l.mu.Lock()
			l.head = h
			l.mu.Unlock()
			if err := s.tidy(h); err != nil && s.Err() == nil {
				l.cfg.Logger.Warn("what is no longer wanted stays until the next snapshot", "error", err)
			}
		}
		o.err = err
	}
	if o.err != nil {
		k.grown += k.before
		k.retry = time.After(retryPause)
		if s.Err() == nil && !errors.Is(o.err, log.ErrNotLeader) {
			l.cfg.Logger.Error("snapshot failed, the log grows until one succeeds", "error", o.err)
		}
	}
	k.tell(o.err)
	if len(k.next) > 0 && over == nil {
		l.snapshot(s)
	}
	return over
}

// noMoreSnapshots disappoints who waits for one, and returns when none is being written. The session has ended: what
// was written of it counts for nothing.
func (l *Log[R]) noMoreSnapshots() {
	k := &l.keep
	if k.writing {
		<-k.written
		k.writing = false
		k.grown += k.before
	}
	k.callers, k.next = append(k.callers, k.next...), nil
	k.tell(l.orEnded(log.ErrNotLeader))
}
