package registrar

import (
	"context"
	"errors"
	"time"

	"github.com/registrard/registrard/fsm"
)

// pruneSlice bounds the ids of one operation, so that a long list does not hold up other writes.
const pruneSlice = 1000

// prune is a duty: from time to time it forgets unreachable and gone agents and completed frameworks that are
// too old or too many, oldest first. Age is by the log's own time of the change, not by a time that a caller
// gave. Mesos: doRegistryGc, whose deletion of neighbours (D1) it does not have.
func (r *Registrar) prune(reign context.Context) error {
	tick := time.NewTicker(r.config.PruneInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-reign.Done():
			return nil
		}
		if err := r.pruneOnce(reign); err != nil && reign.Err() == nil {
			r.logger.Warn("not all was pruned; tried again later", "error", err)
		}
	}
}

// pruneOnce forgets all that is due now.
func (r *Registrar) pruneOnce(reign context.Context) error {
	if fault := r.ClockFault(); fault != nil {
		r.logger.Error("nothing is pruned", "error", fault)
		return nil
	}
	state := r.registry.State()
	now := r.config.Now()
	var errs []error
	for ids := range sliced(r.overdue(state, fsm.Unreachable, now)) {
		errs = append(errs, r.forget(reign, fsm.PruneAgents{Unreachable: ids}, "unreachable", len(ids)))
	}
	for ids := range sliced(r.overdue(state, fsm.Gone, now)) {
		errs = append(errs, r.forget(reign, fsm.PruneAgents{Gone: ids}, "gone", len(ids)))
	}
	for ids := range sliced(r.overdueFrameworks(state, now)) {
		errs = append(errs, r.forget(reign, fsm.PruneFrameworks{IDs: ids}, "framework", len(ids)))
	}
	return errors.Join(errs...)
}

func (r *Registrar) forget(reign context.Context, op fsm.Op, what string, count int) error {
	result, err := r.Propose(reign, []fsm.Proposal{{Op: op, By: r.config.ID}})
	if err != nil {
		return err
	}
	if rejection := result.Outcomes[0].Rejection; rejection != nil {
		return rejection
	}
	r.metrics.pruned.WithLabelValues(what).Add(float64(count))
	r.logger.Info("pruned", "kind", what, "count", count)
	return nil
}

// overdue lists the agents of a phase that are over the count or past the age.
func (r *Registrar) overdue(state *fsm.State, p fsm.Phase, now time.Time) (ids []string) {
	surplus := state.Count(p) - r.config.MaxCount
	for agent := range state.AgentsBySince(p, 0) {
		if surplus <= 0 && now.Sub(agent.At.Time()) <= r.config.MaxAge {
			break // the log's time never goes back: the rest is younger
		}
		surplus--
		ids = append(ids, agent.ID)
	}
	return ids
}

// overdueFrameworks is the same for completed frameworks.
func (r *Registrar) overdueFrameworks(state *fsm.State, now time.Time) (ids []string) {
	var completed []*fsm.Framework
	for framework := range state.FrameworksBySince() {
		if framework.State == fsm.FrameworkCompleted {
			completed = append(completed, framework)
		}
	}
	surplus := len(completed) - r.config.FrameworkMaxCount
	for i, framework := range completed {
		if i >= surplus && now.Sub(framework.At.Time()) <= r.config.FrameworkMaxAge {
			break
		}
		ids = append(ids, framework.ID)
	}
	return ids
}

// sliced gives ids in runs of pruneSlice at most.
func sliced(ids []string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(ids) > 0 {
			n := min(len(ids), pruneSlice)
			if !yield(ids[:n]) {
				return
			}
			ids = ids[n:]
		}
	}
}
