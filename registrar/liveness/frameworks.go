package liveness

import (
	"context"
	"slices"
	"time"

	"github.com/registrard/registrard/fsm"
)

// absences is the disconnected frameworks, and since when their failover timeouts run: by the log's clock up to
// the reign's begin, by the watchman's from then on. So a timeout goes on over a change of leader where it was,
// and nothing that happens to a clock during a reign shortens it.
type absences map[string]absence

type absence struct {
	seq  uint64        // of the record that says so
	from time.Duration // in the watchman's time; before its beginning where it went on from an earlier leader
}

// note brings one framework up to date.
func (a absences) note(state *fsm.State, id string, now time.Duration) {
	framework, ok := state.Framework(id)
	if !ok || framework.State != fsm.FrameworkDisconnected {
		delete(a, id)
		return
	}
	if a[id].seq != framework.Seq {
		gone := state.Time().Time().Sub(framework.At.Time())
		a[id] = absence{seq: framework.Seq, from: now - max(gone, 0)}
	}
}

// overdue lists frameworks whose timeout has run out, batchMax at most.
func (a absences) overdue(state *fsm.State, now time.Duration) (ids []string) {
	for id, absence := range a {
		if framework, ok := state.Framework(id); ok && now-absence.from >= time.Duration(framework.Failover) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), batchMax)]
}

// complete is the leader's duty to end frameworks whose schedulers did not come back in time.
func (w *Watchman) complete(reign context.Context) error {
	tick := time.NewTicker(w.cfg.tick())
	defer tick.Stop()
	for {
		select {
		case <-reign.Done():
			return nil
		case <-tick.C:
		}
		ids := w.overdueFrameworks()
		if len(ids) == 0 {
			continue
		}
		proposals := make([]fsm.Proposal, len(ids))
		for i, id := range ids {
			proposals[i] = fsm.Proposal{Op: fsm.CompleteFramework{ID: id, Reason: "failover timeout"}, By: author}
		}
		if _, err := w.registrar.Propose(reign, proposals); err != nil {
			w.logger.Warn("frameworks could not be completed, trying again", "frameworks", len(ids), "error", err)
			continue
		}
		w.logger.Info("frameworks completed: failover timeout", "frameworks", len(ids), "first", ids[0])
	}
}

// overdueFrameworks is whom complete may end now. For one window after the reign began, after this process stood
// still and after an alarm, that is nobody: schedulers need that time to find the leader, as agents do.
func (w *Watchman) overdueFrameworks() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return nil
	}
	state, now := w.look()
	if !w.judge(now) || now-max(w.roll.floor, w.alarmed) < w.cfg.Window {
		return nil
	}
	return w.absences.overdue(state, now)
}
