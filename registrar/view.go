package registrar

import (
	"context"
	"fmt"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// Consistency is what a read may rely on.
type Consistency int

const (
	// Linearizable reads see everything that was acknowledged before they began. Leaders only.
	Linearizable Consistency = iota
	// Stale reads see this node's own State, at once, even without a leader. It may be old, but is never wrong.
	Stale
)

// View returns the registry. A Stale view never fails; a Linearizable one fails with log.ErrNotLeader where this
// node cannot know what was acknowledged, and with ctx's error.
func (r *Registrar) View(ctx context.Context, c Consistency) (*fsm.State, error) {
	r.metrics.read(c)
	if c == Linearizable {
		if err := r.reads.await(ctx); err != nil {
			return nil, err
		}
	}
	return planted.Older(r.registry.State()), nil
}

// State is a Stale View.
func (r *Registrar) State() *fsm.State { return r.registry.State() }

// Next is State, and a channel that is closed when there is a newer one.
func (r *Registrar) Next() (*fsm.State, <-chan struct{}) { return r.registry.Next() }

// Watch returns once there is a State whose index is above after; History.Changes then has what happened, and State
// is that State or a newer one. It fails with ctx's error, and with the log's reason when there will be no newer
// State.
func (r *Registrar) Watch(ctx context.Context, after uint64) (*fsm.History, error) {
	for {
		history, superseded := r.registry.History()
		if history.Index() > after {
			return history, nil
		}
		select {
		case <-superseded:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.log.Done():
			if err := r.log.Err(); err != nil {
				return nil, fmt.Errorf("%w: %w", log.ErrHalted, err)
			}
			return nil, log.ErrClosed
		}
	}
}

// reads joins linearizable reads: all that wait share one read index, asked for after the last of them came.
type reads struct {
	joining chan *round // holds the round that may still be joined; empty while somebody changes it
	asked   chan struct{}
	stopped chan struct{}
}

// round is one read index and those who wait for it.
type round struct {
	wanted bool
	done   chan struct{} // closed once err is there
	err    error
}

func (q *reads) init() {
	q.joining = make(chan *round, 1)
	q.joining <- &round{done: make(chan struct{})}
	q.asked = make(chan struct{}, 1)
	q.stopped = make(chan struct{})
}

// await returns once the log has given a read index that it was asked for after the call.
func (q *reads) await(ctx context.Context) error {
	joined := <-q.joining
	joined.wanted = true
	q.joining <- joined
	select {
	case q.asked <- struct{}{}:
	default:
	}
	select {
	case <-joined.done:
		return joined.err
	case <-ctx.Done():
		return ctx.Err()
	case <-q.stopped:
		return log.ErrNotLeader
	}
}

// serve asks the log for one read index after the other while somebody wants one.
func (q *reads) serve(ctx context.Context, l log.Log[fsm.Result]) {
	defer close(q.stopped)
	for {
		select {
		case <-q.asked:
		case <-ctx.Done():
			return
		}
		current := <-q.joining
		if !current.wanted {
			q.joining <- current
			continue
		}
		q.joining <- &round{done: make(chan struct{})}
		_, current.err = l.ReadIndex(ctx)
		close(current.done)
	}
}
