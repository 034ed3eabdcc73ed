package liveness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// removal is one agent on its way out.
type removal struct {
	id      string
	reason  string
	counted bool // against the limit
}

// mark has those marked who are due, for as long as the reign lasts. Its operations are proposed under the
// reign, and nothing of it is kept for the next.
func (w *Watchman) mark(reign context.Context) {
	for {
		batch, wait := w.take(reign)
		if len(batch) > 0 {
			w.settle(reign, batch, w.propose(reign, batch))
			continue
		}
		if wait <= 0 {
			wait = time.Hour // until woken
		}
		pause := time.NewTimer(wait)
		select {
		case <-reign.Done():
			pause.Stop()
			return
		case <-w.due:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// take chooses who is marked now: this is the last look before the proposal, and from here on a heartbeat
// comes too late. With nobody to take it says how long until there may be somebody, or 0: when woken.
func (w *Watchman) take(reign context.Context) (batch []removal, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reign.Err() != nil {
		return nil, 0
	}
	_, now := w.look()
	if !w.judge(now) || w.roll.queued == 0 {
		return nil, 0
	}
	if w.failed { // the last proposal did not happen: not before the next tick
		w.failed = false
		return nil, w.cfg.tick()
	}
	for range w.pace.ready(now) {
		e, ok := w.roll.next()
		if !ok {
			break
		}
		batch = append(batch, removal{id: e.id, reason: w.reason(e, now), counted: e.counts()})
	}
	if len(batch) == 0 {
		return nil, w.pace.wait(now)
	}
	w.pace.spend(now, len(batch))
	w.settled = make(chan struct{})
	return batch, 0
}

func (w *Watchman) reason(e *entry, now time.Duration) string {
	silence := (now - e.since).Round(time.Millisecond)
	switch {
	case e.excused:
		return fmt.Sprintf("silent for %s, and its machine is down for maintenance", silence)
	case e.awaited:
		return fmt.Sprintf("not heard from in the %s after a change of leader or its admission", silence)
	}
	return fmt.Sprintf("missed %d heartbeats: silent for %s", silence/w.cfg.Heartbeat, silence)
}

func (w *Watchman) propose(reign context.Context, batch []removal) error {
	proposals := make([]fsm.Proposal, len(batch))
	for i, r := range batch {
		proposals[i] = fsm.Proposal{Op: fsm.MarkUnreachable{ID: r.id, Reason: r.reason}, By: author}
	}
	_, err := w.registrar.Propose(reign, proposals)
	return err
}

// settle takes note of what came of a batch: the State says who was marked, so it is the State that is asked.
func (w *Watchman) settle(reign context.Context, batch []removal, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.settled)
	w.settled = nil
	if reign.Err() != nil {
		return
	}
	_, now := w.look()
	marked := 0
	for _, r := range batch {
		if e, ok := w.roll.find(r.id); ok && e.standing == marking {
			w.roll.putBack(r.id, now)
			continue
		}
		w.marked++
		if marked++; r.counted {
			w.recent.add(now)
		}
	}
	switch {
	case err == nil:
		w.logger.Info("agents marked unreachable", "agents", marked, "first", batch[0].id, "reason", batch[0].reason)
	case errors.Is(err, log.ErrNotLeader): // the reign is about to end
	default:
		w.failed = true
		w.logger.Warn("agents could not be marked unreachable, trying again", "agents", len(batch), "error", err)
	}
}

// wake has the marker look for work. It never blocks.
func (w *Watchman) wake() {
	select {
	case w.due <- struct{}{}:
	default:
	}
}
