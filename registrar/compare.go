package registrar

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// comparePatience is what asking the members may take.
const comparePatience = 2 * time.Second

// compareReplicas is a duty, where the log can ask the others what they hold: what a majority of the voters agree on is
// recorded in the log, and a member that holds something else halts there, this leader too. It is the majority
// that is recorded and not what the leader holds: a leader that went astray would otherwise halt all that did not.
func (r *Registrar) compareReplicas(reign context.Context) error {
	tick := time.NewTicker(r.config.CompareInterval)
	defer tick.Stop()
	recorded := uint64(0)
	for {
		select {
		case <-tick.C:
		case <-reign.Done():
			return nil
		}
		agreed, err := r.compareOnce(reign, recorded)
		if err != nil && reign.Err() == nil {
			r.logger.Warn("members not compared; tried again later", "error", err)
		}
		recorded = max(recorded, agreed)
	}
}

// compareOnce records what a majority agrees on, where it is of a later index than recorded, and returns that index.
func (r *Registrar) compareOnce(reign context.Context, recorded uint64) (agreed uint64, err error) {
	replicas, ok := r.Replicas()
	if !ok {
		return 0, nil
	}
	list, err := replicas.List(reign)
	if err != nil || len(list) < 2 {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(reign, comparePatience)
	defer cancel()
	shown := map[string][]fsm.Milestone{r.config.ID: r.registry.Milestones()}
	var problems []error
	for id, testimony := range r.log.(log.Witnesses).Testimonies(ctx) {
		if len(testimony) == 0 {
			continue // it has nothing yet
		}
		milestones, err := fsm.ReadTestimony(testimony)
		problems = append(problems, err)
		shown[id] = milestones
	}
	majority, astray := judgeReplicas(list, shown)
	if len(astray) > 0 {
		r.logger.Error("the registries of members differ", "index", majority.Index, "differing", astray,
			"majority", majority.Chain != "")
	}
	if majority.Chain == "" || majority.Index <= recorded {
		return recorded, errors.Join(problems...)
	}
	result, err := r.Propose(reign, []fsm.Proposal{{Op: fsm.Checkpoint(majority), By: r.config.ID}})
	if err == nil && result.Outcomes[0].Rejection != nil {
		err = result.Outcomes[0].Rejection
	}
	if err != nil {
		return recorded, errors.Join(append(problems, err)...)
	}
	return majority.Index, errors.Join(problems...)
}

// judgeReplicas finds the last index for which a majority of the voters show the same chain, and who shows another
// there. Where members differ and no chain has a majority, the chain is empty and all of them are astray.
func judgeReplicas(list []log.Replica, shown map[string][]fsm.Milestone) (majority fsm.Milestone, astray []string) {
	voters := 0
	votes := make(map[fsm.Milestone]int)
	holders := make(map[uint64]map[string]string) // by index: each replica's chain
	for _, replica := range list {
		if replica.Voter {
			voters++
		}
		for _, m := range shown[replica.ID] {
			if replica.Voter {
				votes[m]++
			}
			if holders[m.Index] == nil {
				holders[m.Index] = make(map[string]string)
			}
			holders[m.Index][replica.ID] = m.Chain
		}
	}
	for m, n := range votes {
		if n > voters/2 && m.Index > majority.Index {
			majority = m
		}
	}
	if majority.Chain != "" {
		for id, chain := range holders[majority.Index] {
			if chain != majority.Chain {
				astray = append(astray, id)
			}
		}
		slices.Sort(astray)
		return majority, astray
	}
	for index, chains := range holders {
		var ids []string
		differ := false
		for id, chain := range chains {
			ids = append(ids, id)
			for _, other := range chains {
				differ = differ || other != chain
			}
		}
		if differ && index > majority.Index {
			slices.Sort(ids)
			majority.Index, astray = index, ids
		}
	}
	return majority, astray
}
