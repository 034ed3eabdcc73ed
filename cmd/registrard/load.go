package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/registrard/registrard/fsm"
)

func loadCommand() *cobra.Command {
	var fleet string
	c := &cobra.Command{
		Use:   "load --fleet FILE.csv",
		Short: "Admit a fleet of agents",
		Long: `Admit a fleet of agents from a CSV file with the columns node_name, cpu_num, gpu_capacity_num and gpu_model, in any
order. node_name is the agent's id. Loading a file again admits what is missing.`,
		Args: arguments(cobra.NoArgs),
	}
	c.Flags().StringVar(&fleet, "fleet", "", "CSV file of machines")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, _ []string) error {
		if fleet == "" {
			return usage("--fleet is required")
		}
		agents, err := readFleet(fleet)
		if err != nil {
			return err
		}
		return t.admit(ctx, agents)
	})
}

// readFleet reads the whole file before anything is proposed: an unreadable row changes nothing.
func readFleet(name string) ([]fsm.AgentObject, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows := csv.NewReader(file)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no header: %w", name, err)
	}
	columns := map[string]int{}
	for _, column := range []string{"node_name", "cpu_num", "gpu_capacity_num", "gpu_model"} {
		if columns[column] = slices.Index(header, column); columns[column] < 0 {
			return nil, fmt.Errorf("%s: there is no column %s", name, column)
		}
	}
	var agents []fsm.AgentObject
	lineOf := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return agents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err) // says the line
		}
		line, _ := rows.FieldPos(0)
		agent, err := fleetAgent(row, columns)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if first, twice := lineOf[agent.ID]; twice {
			return nil, fmt.Errorf("%s:%d: node %q is on line %d already", name, line, agent.ID, first)
		}
		lineOf[agent.ID] = line
		agents = append(agents, agent)
	}
}

func fleetAgent(row []string, columns map[string]int) (fsm.AgentObject, error) {
	info := fsm.AgentInfo{ID: row[columns["node_name"]], Hostname: row[columns["node_name"]]}
	for _, resource := range []struct{ name, column string }{{"cpus", "cpu_num"}, {"gpus", "gpu_capacity_num"}} {
		value, err := strconv.ParseFloat(row[columns[resource.column]], 64)
		if err != nil {
			return fsm.AgentObject{}, fmt.Errorf("%s %q is not a number", resource.column, row[columns[resource.column]])
		}
		info.Resources = append(info.Resources, fsm.Resource{Name: resource.name, Scalar: &fsm.Scalar{Value: value}})
	}
	if model := row[columns["gpu_model"]]; model != "" {
		info.Attributes = []fsm.Attribute{{Name: "gpu_model", Text: &fsm.Text{Value: model}}}
	}
	return info.Object()
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

// progress is a bar on a terminal and nothing elsewhere.
type progress struct {
	out io.Writer
	bar *progressbar.ProgressBar
}

func newProgress(out io.Writer, total int, what string) *progress {
	p := &progress{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(out), progressbar.OptionSetItsString(what),
			progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return p
}

func (p *progress) add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n) // a bar that cannot be drawn is no reason to stop
	}
}

// say prints a line above the bar.
func (p *progress) say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
