package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/registrar"
)

func watchCommand() *cobra.Command {
	var after uint64
	c := &cobra.Command{
		Use:   "watch",
		Short: "Follow every change, as it happens",
		Long:  "Follow every change, as it happens, over lost nodes and changes of leader, until interrupted.",
		Args:  arguments(cobra.NoArgs),
	}
	c.Flags().Uint64Var(&after, "after", 0, "begin with the first change of an index above this (default: from now)")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, _ []string) error {
		if !t.command.Flags().Changed("after") {
			first, cancel := context.WithTimeout(ctx, t.timeout)
			defer cancel()
			members, err := t.Members(first, registrar.Stale)
			if err != nil {
				return err
			}
			after = members.Index
		}
		for change, err := range t.Watch(ctx, after) {
			switch {
			case errors.Is(err, context.Canceled):
				return nil
			case err != nil:
				return err
			case t.json:
				if err := t.print(change); err != nil {
					return err
				}
				continue
			}
			line := fmt.Sprintf("%d  %s  %-22s %s", change.Index, when(change.Time), change.Kind, change.ID)
			if change.Phase != change.Was {
				line += fmt.Sprintf("  %s -> %s", or(change.Was), or(change.Phase))
			}
			if change.Reason != "" {
				line += "  (" + change.Reason + ")"
			}
			t.command.Println(line)
		}
		return nil
	})
}

func or(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
