package raftlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
)

// Close implements log.Log. It waits a few heartbeats for what is in flight. It must not be called from the
// machine.
func (l *Log[R]) Close() error {
	l.end(nil)
	<-l.retired
	l.running.Wait()
	l.release()
	return l.stuck
}

// broken is called when the disk cannot be trusted any more.
func (l *Log[R]) broken(err error) { l.end(fmt.Errorf("%w: %w", log.ErrHalted, err)) }

// end closes done because of err, nil for a Close, and ends the reign. A member that has failed is silenced
// at once: it neither leads nor votes from then on. It does not wait; only the first call counts.
func (l *Log[R]) end(err error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended, l.err = true, err
	close(l.done)
	l.mu.Unlock()

	if err != nil {
		l.cfg.Transport.Fence(err)
		l.cfg.Logger.Error("halted", "error", err)
	}
	l.depose(l.reason())
	l.cancel()
	go l.retire()
}

// reason is what to answer once the log has ended, and nil before.
func (l *Log[R]) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.ended:
		return nil
	case l.err != nil:
		return l.err
	default:
		return log.ErrClosed
	}
}

// stopPatience is how long raft may take to stop. It takes longer only while a write to the disk stands still.
const stopPatience = 5 * time.Second

// retire stops raft, once. Raft forgets calls that it has taken but not answered when it is stopped, so they get
// the time that a leader without a majority needs to notice, and to answer them.
func (l *Log[R]) retire() {
	defer close(l.retired)
	grace, cancel := context.WithTimeout(context.Background(), 3*l.cfg.HeartbeatTimeout)
	defer cancel()
	_ = l.until(grace, func() bool { return l.flying == 0 })
	l.cfg.Transport.Fence(log.ErrClosed)
	l.life <- struct{}{}
	r := l.raft.Load()
	if r == nil {
		return // Open failed before there was one
	}
	if l.stuck == nil {
		l.stuck = quiet(r)
	}
}

// quiet stops raft and waits until it has stopped. Raft's own wait knows no deadline.
func quiet(r *raft.Raft) error {
	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown().Error() }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(stopPatience):
		return errors.New("raft did not stop: the disk or the machine stands still")
	}
}

// release lets go of what Open took, after raft has stopped or before it was started.
func (l *Log[R]) release() {
	l.released.Do(func() {
		l.cancel()
		problem := l.cfg.Transport.Close()
		if l.stores != nil && l.stuck == nil {
			problem = errors.Join(problem, l.stores.close())
		}
		if l.lock != nil {
			problem = errors.Join(problem, l.lock.Close())
		}
		l.stuck = errors.Join(l.stuck, problem)
	})
}
