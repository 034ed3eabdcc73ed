package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/cmd/registrard/bench"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
)

func benchCommand() *cobra.Command {
	var cfg bench.Config
	var own bench.Own
	c := &cobra.Command{
		Use:   "bench [--address URL | --nodes N]",
		Short: "Measure a cluster under load",
		Long: fmt.Sprintf(`Measure a cluster under load: one that runs, at its leader, or one of N processes that is started for the
purpose and removed afterwards.

Any cluster can be measured by the rows %s.
A cluster of its own also by %s,
whose callers are in the leading process.

A registry that holds agents is not touched without --force. The agents that were admitted to measure with are taken
away again.`, strings.Join(bench.Names(), ", "), strings.Join(bench.OwnNames(), ", ")),
		Args: arguments(cobra.NoArgs),
	}
	f := c.Flags()
	f.StringSliceVar(&cfg.Rows, "rows", bench.Names(), "what to measure")
	f.IntSliceVar(&cfg.Callers, "callers", []int{1, 64, 256, 1024}, "callers at a time, one level after the other")
	f.IntSliceVar(&cfg.Batches, "batch", []int{1, 100}, "operations in one request, for writes")
	f.IntVar(&cfg.Agents, "agents", 50_000, "agents in the registry while it is measured")
	f.IntVar(&cfg.Watchers, "watchers", 1000, "watchers at a time")
	f.DurationVar(&cfg.Duration, "duration", 3*time.Second, "how long each level is measured")
	f.DurationVar(&cfg.Warm, "warm-up", time.Second, "how long each level runs before")
	f.BoolVar(&cfg.Force, "force", false, "measure a registry that holds agents of others")
	f.IntVar(&own.Nodes, "nodes", 0, "start a cluster of so many processes instead of asking one")
	f.StringVar(&own.Dir, "dir", "", "directory for its data, on the disk to be measured (default: the system's for temporary files)")
	f.StringVar(&own.Profiles, "profile", "", "directory that each of its nodes writes CPU and allocation profiles to")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, _ []string) (err error) {
		if err := cfg.Validate(); err != nil {
			return usageError{err}
		}
		bar := newProgress(t.command.ErrOrStderr(), -1, "")
		defer bar.end()
		cfg.Progress = func(what string, done, of int) { bar.show(what, done, of) }
		rows := benchTable{talk: t, bar: bar}
		cfg.Report = rows.add
		if own.Nodes > 0 {
			if f.Changed("address") {
				return usage("--address and --nodes exclude each other")
			}
			err = benchLocal(ctx, cfg, own)
		} else {
			if i := slices.IndexFunc(cfg.Rows, func(row string) bool { return slices.Contains(bench.OwnNames(), row) }); i >= 0 {
				return usage("row %s needs a cluster of its own: give --nodes", cfg.Rows[i])
			}
			err = bench.Remote(ctx, cfg, t.addresses, t.tls)
		}
		bar.end()
		return rows.end(err)
	})
}

// benchLocal gives the data a directory that is nobody else's.
func benchLocal(ctx context.Context, cfg bench.Config, own bench.Own) error {
	if own.Dir == "" {
		own.Dir = os.TempDir()
	}
	if own.Profiles != "" {
		var err error
		if own.Profiles, err = filepath.Abs(own.Profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(own.Profiles, 0o755); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(own.Dir, "registrard-bench-")
	if err != nil {
		return err
	}
	own.Dir = dir
	return bench.Local(ctx, cfg, own)
}

// benchTable prints rows as they come, for programs, or all at the end, for people.
type benchTable struct {
	*talk
	bar  *progress
	rows []bench.Row
}

func (b *benchTable) add(row bench.Row) {
	if b.json {
		_ = b.print(row) // a reader who is gone stops nothing
		return
	}
	b.rows = append(b.rows, row)
}

func (b *benchTable) end(err error) error {
	if b.json || len(b.rows) == 0 {
		return err
	}
	t := newTable(b.command.OutOrStdout(), "ROW", "WHAT", "CALLERS", "BATCH", "AGENTS", "PER SECOND", "P50 MS", "P99 MS", "MAX MS", "LEADER µS", "MORE")
	for _, row := range b.rows {
		t.row(row.Name, row.What, count(row.Callers), count(row.Batch), count(row.Agents), figure(row.PerSecond),
			figure(row.P50), figure(row.P99), figure(row.Max), figure(row.LeaderCPU), more(row))
	}
	if flushed := t.flush(); err == nil {
		err = flushed
	}
	return err
}

func more(row bench.Row) string {
	parts := []string{}
	if row.Errors > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", row.Errors))
	}
	for name := range row.More {
		parts = append(parts, strings.ReplaceAll(name, "_", " ")+" "+figure(row.More[name]))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// figure is a number with three digits that say something.
func figure(v float64) string {
	switch {
	case v == 0:
		return ""
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// benchNodeCommand is what bench starts its nodes by.
func benchNodeCommand() *cobra.Command {
	var in *cobra.Command
	c := serving(serverOptions{backend: backendRaft, inside: func(ctx context.Context, node *registrar.Registrar, watchman *liveness.Watchman, l log.Log[fsm.Result]) error {
		return bench.Inside(ctx, bench.Node{Registrar: node, Watchman: watchman, Snapshot: l.Snapshot}, in.InOrStdin(), in.OutOrStdout())
	}})
	in = c
	c.Use, c.Short, c.Hidden = bench.NodeCommand, "One node of a cluster that bench started", true
	return c
}
