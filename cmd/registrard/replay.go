package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/registrard/registrard/fsm"
)

// replayBatch is the operations in one request of a replay: one after the other, for their order is what is replayed.
const replayBatch = 1000

// replayed is what a replay came to.
type replayed struct {
	Records   int            `json:"records"`
	Skipped   map[string]int `json:"skipped"`
	Nodes     int            `json:"nodes"`
	Known     int            `json:"already_known"`
	Events    int            `json:"events"`
	Changed   int            `json:"changed"`
	Unchanged int            `json:"unchanged"`
	Rejected  int            `json:"rejected"`
	Seconds   float64        `json:"seconds"`
}

// replay admits every node of a trace and then does to them what the trace says, up to a time.
func (t *talk) replay(ctx context.Context, tr *trace, until time.Time) error {
	events := tr.events(until)
	r := replayed{Records: tr.records, Skipped: tr.skipped, Nodes: len(tr.agents), Events: len(events)}
	infos := map[string]fsm.AgentObject{}
	var ops []fsm.Op
	for _, agent := range tr.agents {
		infos[agent.ID] = agent
		ops = append(ops, fsm.AdmitAgent{Agent: agent})
	}
	for _, e := range events {
		ops = append(ops, e.op(infos[e.agent]))
	}
	bar, start := newProgress(t.command.ErrOrStderr(), len(ops), "operations"), time.Now()
	var err error
	for batch := range slices.Chunk(ops, replayBatch) {
		if err = t.proposeAll(ctx, batch, &r, bar); err != nil {
			break
		}
	}
	bar.end()
	r.Seconds = time.Since(start).Seconds()
	if err := t.reportReplay(r); err != nil {
		return err
	}
	switch {
	case err != nil:
		return fmt.Errorf("the rest was not replayed: %w", err)
	case r.Rejected > 0:
		return errSaid
	}
	return nil
}

// proposeAll proposes operations in one request, and counts what they came to.
func (t *talk) proposeAll(ctx context.Context, ops []fsm.Op, r *replayed, bar *progress) error {
	ps := make([]fsm.Proposal, len(ops))
	for i, op := range ops {
		ps[i] = fsm.Proposal{Op: op}
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	result, err := t.Propose(ctx, ps)
	if err != nil {
		return err
	}
	for _, outcome := range result.Outcomes {
		switch {
		case outcome.Rejection != nil && outcome.Rejection.Kind == "agent.admit" && outcome.Rejection.Code != fsm.AgentGone:
			r.Known++ // a trace may be replayed over what is there
		case outcome.Rejection != nil:
			if r.Rejected++; r.Rejected <= 10 {
				bar.say("%v", outcome.Rejection)
			}
		case outcome.Changed:
			r.Changed++
		default:
			r.Unchanged++
		}
	}
	bar.add(len(ops))
	return nil
}

func (t *talk) reportReplay(r replayed) error {
	if t.json {
		return t.print(r)
	}
	skipped := 0
	var whys []string
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		skipped += r.Skipped[why]
		whys = append(whys, fmt.Sprintf("%d %s", r.Skipped[why], why))
	}
	t.command.Printf("%d records: %d outages of %d nodes, %d skipped", r.Records, r.Records-skipped, r.Nodes, skipped)
	if skipped > 0 {
		t.command.Printf(" (%s)", strings.Join(whys, ", "))
	}
	total := r.Known + r.Changed + r.Unchanged + r.Rejected
	t.command.Printf("\n%d operations: %d changed, %d unchanged, %d already known, %d rejected in %s, %.0f a second\n",
		total, r.Changed, r.Unchanged, r.Known, r.Rejected, time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond), float64(total)/r.Seconds)
	return nil
}
