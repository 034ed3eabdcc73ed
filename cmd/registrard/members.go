package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/transport/httpapi/wire"
)

func membersCommand() *cobra.Command {
	c := &cobra.Command{Use: "members", Short: "List the members, and change them", Args: arguments(cobra.NoArgs)}
	c = reading(c, func(ctx context.Context, t *talk, _ []string) error {
		members, err := t.Members(ctx, t.consistency())
		if err != nil {
			return err
		}
		if t.json {
			return t.print(members)
		}
		out := newTable(t.command.OutOrStdout(), "ID", "ROLE", "LEADS", "RAFT", "HTTP", "MATCH", "FORMAT")
		for _, m := range members.Members {
			leads, match, format := "", "", ""
			if m.Leader {
				leads = "yes"
			}
			if m.Match > 0 {
				match = strconv.FormatUint(m.Match, 10)
			}
			if m.Format > 0 {
				format = strconv.FormatUint(m.Format, 10)
			}
			out.row(m.ID, m.Role, leads, m.RaftAddr, m.HTTPAddr, match, format)
		}
		return out.flush()
	})
	c.AddCommand(
		talking(&cobra.Command{
			Use: "add ID RAFT-ADDR HTTP-ADDR", Short: "Add a member, which becomes a voter once it has caught up", Args: arguments(cobra.ExactArgs(3)),
		}, func(ctx context.Context, t *talk, args []string) error {
			joined, err := t.AddMember(ctx, wire.Member{ID: args[0], RaftAddr: args[1], HTTPAddr: args[2]})
			if err != nil {
				return err
			}
			return t.done(joined, "%s is a member of cluster %s\n", args[0], joined.Cluster)
		}),
		talking(&cobra.Command{
			Use: "remove ID", Short: "Take a member out for good", Args: arguments(cobra.ExactArgs(1)),
		}, func(ctx context.Context, t *talk, args []string) error {
			if err := t.RemoveMember(ctx, args[0]); err != nil {
				return err
			}
			return t.done(map[string]string{"removed": args[0]}, "%s is no member any more\n", args[0])
		}),
		talking(&cobra.Command{
			Use: "lead ID", Short: "Hand leadership to a member", Args: arguments(cobra.ExactArgs(1)),
		}, func(ctx context.Context, t *talk, args []string) error {
			if err := t.Lead(ctx, args[0]); err != nil {
				return err
			}
			return t.done(map[string]string{"leader": args[0]}, "%s leads\n", args[0])
		}),
	)
	return c
}

// done says that something was done: a value for programs, a line for people.
func (t *talk) done(value any, format string, args ...any) error {
	if t.json {
		return t.print(value)
	}
	t.command.Printf(format, args...)
	return nil
}
