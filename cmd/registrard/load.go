package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/registrard/registrard/fsm"
)

func loadCommand() *cobra.Command {
	var fleet, outages, until string
	c := &cobra.Command{
		Use:   "load --fleet FILE.csv | --outages FILE.csv[.xz]",
		Short: "Admit a fleet of agents, or replay the outages of one",
		Long: `Admit a fleet of agents from a CSV file with the columns node_name, cpu_num, gpu_capacity_num and gpu_model, in any
order. node_name is the agent's id. Loading a file again admits what is missing.

Or replay a trace of outages, a CSV file (plain or .xz) with the columns System, nodenum, Prob Started and Prob Fixed, as
Los Alamos published it (LA-UR-05-7318): every node is admitted as System-nodenum, and becomes unreachable and reachable
again in the order and at the times of the trace, which are read as UTC. A record without a node, or one that begins
within an earlier outage of the same node, is skipped and counted; one without an end lasts.`,
		Args: arguments(cobra.NoArgs),
	}
	c.Flags().StringVar(&fleet, "fleet", "", "CSV file of machines")
	c.Flags().StringVar(&outages, "outages", "", "CSV file of outages, plain or .xz")
	c.Flags().StringVar(&until, "until", "", "replay outages up to this day, such as 2001-06-30, and no further")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, _ []string) error {
		if (fleet == "") == (outages == "") {
			return usage("one of --fleet and --outages is required")
		}
		if outages != "" {
			end, err := parseUntil(until)
			if err != nil {
				return err
			}
			trace, err := readOutages(outages)
			if err != nil {
				return err
			}
			return t.replay(ctx, trace, end)
		}
		if until != "" {
			return usage("--until goes with --outages")
		}
		agents, err := readFleet(fleet)
		if err != nil {
			return err
		}
		return t.admit(ctx, agents)
	})
}

// How a fleet is loaded.
const (
	loadBatch   = 100 // agents in one request
	loadWorkers = 4   // requests under way
)

func (t *talk) admit(ctx context.Context, agents []fsm.AgentObject) error {
	bar := newProgress(t.command.ErrOrStderr(), len(agents), "agents")
	start := time.Now()
	var mu sync.Mutex
	var admitted, known, rejected int
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(loadWorkers)
	for batch := range slices.Chunk(agents, loadBatch) {
		work.Go(func() error {
			ps := make([]fsm.Proposal, len(batch))
			for i, agent := range batch {
				ps[i] = fsm.Proposal{Op: fsm.AdmitAgent{Agent: agent}}
			}
			ctx, cancel := context.WithTimeout(ctx, t.timeout)
			defer cancel()
			result, err := t.Propose(ctx, ps)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, outcome := range result.Outcomes {
				switch {
				case outcome.Rejection == nil:
					admitted++
				case outcome.Rejection.Code == fsm.AlreadyAdmitted:
					known++
				default:
					rejected++
					bar.say("%v", outcome.Rejection)
				}
			}
			bar.add(len(batch))
			return nil
		})
	}
	err := work.Wait()
	bar.end()
	took := time.Since(start)
	if t.json {
		if err := t.print(map[string]any{"admitted": admitted, "already_admitted": known, "rejected": rejected, "seconds": took.Seconds()}); err != nil {
			return err
		}
	} else {
		t.command.Printf("%d agents: %d admitted, %d already admitted, %d rejected in %s\n", len(agents), admitted, known, rejected, took.Round(time.Millisecond))
	}
	switch {
	case err != nil:
		return fmt.Errorf("the rest was not loaded: %w", err)
	case rejected > 0:
		return errSaid
	}
	return nil
}
