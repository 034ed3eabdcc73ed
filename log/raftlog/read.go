package raftlog

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// round is a batch of readers who wait for the same proof that this member still leads.
type round struct {
	done chan struct{} // closed when the proof is there
}

// ReadIndex implements log.Log. The proof is ours, not raft's: VerifyLeader also confirms readers who came
// after its heartbeats had been sent, which a leader that was deposed in between can answer with a lie.
func (l *Log[R]) ReadIndex(ctx context.Context) (uint64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	r, err := l.current()
	if err != nil {
		return 0, err
	}
	// The reign is open, so an entry of its own term is committed and this index covers all that was
	// acknowledged, by whomever.
	index := l.raft.Load().CommitIndex()
	if !l.led(r, time.Now()) { // true at once for a single voter
		proof, err := l.ask(r)
		if err != nil {
			return 0, err
		}
		select {
		case <-proof:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.stop, func() { cancel(l.reason()) })()
	return l.machine.await(ctx, index)
}

// ask joins the readers of the next round.
func (l *Log[R]) ask(r *reign) (proof <-chan struct{}, err error) {
	l.update(func() {
		if l.reign != r {
			err = errDeposed
			return
		}
		if l.asking == nil {
			l.asking = &round{done: make(chan struct{})}
		}
		proof = l.asking.done
	})
	return proof, err
}

// confirm proves, round after round, that this member leads, for as long as it does and somebody asks.
func (l *Log[R]) confirm(r *reign) {
	for {
		var now *round
		err := l.until(r.ctx, func() bool {
			if l.reign != r {
				return false // who asks now, asks the next reign
			}
			now, l.asking = l.asking, nil
			return now != nil
		})
		if err != nil {
			return
		}
		// All of this round's readers came before began. Heartbeats would go out soon by themselves;
		// VerifyLeader sends them now. What it answers is of no interest.
		began := time.Now()
		l.raft.Load().VerifyLeader()
		for {
			progressed := l.cfg.Transport.Progressed()
			if l.led(r, began) {
				close(now.done)
				break
			}
			select {
			case <-progressed:
			case <-r.ctx.Done():
				return
			}
		}
	}
}

// led tells whether a majority of voters, this one included, have answered a call that was started after
// the moment given, in the term of the reign: nobody else led then.
func (l *Log[R]) led(r *reign, after time.Time) bool {
	voters, proven := 0, 0
	for _, s := range servers(l.raft.Load()) {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if l.isSelf(s) || l.cfg.Transport.Progress(string(s.ID), r.term).Answered.After(after) {
			proven++
		}
	}
	return proven > voters/2
}

// servers are the members in raft's latest configuration.
func servers(r *raft.Raft) []raft.Server {
	f := r.GetConfiguration() // answered at once, without a wait
	if err := f.Error(); err != nil {
		return nil
	}
	return f.Configuration().Servers
}
