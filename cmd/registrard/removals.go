package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/transport/client"
)

func removalsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "removals",
		Short: "Show where the removal of silent agents stands, and decide an alarm",
		Args:  arguments(cobra.NoArgs),
	}
	decision := func(use, short string, decide func(*client.Client, context.Context) (liveness.Removals, error)) *cobra.Command {
		return talking(&cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs)}, func(ctx context.Context, t *talk, _ []string) error {
			r, err := decide(t.Client, ctx)
			if err != nil {
				return err
			}
			return t.removals(r)
		})
	}
	c = talking(c, func(ctx context.Context, t *talk, _ []string) error {
		r, err := t.Removals(ctx)
		if err != nil {
			return err
		}
		return t.removals(r)
	})
	c.AddCommand(
		decision("approve", "Have those marked that an alarm is about", (*client.Client).Approve),
		decision("hold", "Have nobody marked until removals are approved", (*client.Client).Hold),
	)
	return c
}

func (t *talk) removals(r liveness.Removals) error {
	if t.json {
		return t.print(r)
	}
	alarm := "none"
	if r.Alarm != liveness.NoAlarm {
		alarm = fmt.Sprintf("%s: %s", r.Alarm, r.Message)
	}
	out := newTable(t.command.OutOrStdout(), "ALARM", alarm)
	out.row("watched", strconv.Itoa(r.Admitted))
	out.row("not heard from yet", strconv.Itoa(r.Awaited))
	out.row("missing", strconv.Itoa(r.Missing))
	out.row("waiting to be marked", strconv.Itoa(r.Waiting))
	out.row("marked lately", strconv.Itoa(r.Recent))
	return out.flush()
}
