package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func statusCommand() *cobra.Command {
	c := asked(&cobra.Command{Use: "status", Short: "Show how the node at the address is", Args: arguments(cobra.NoArgs)})
	return talking(c, func(ctx context.Context, t *talk, _ []string) error {
		if t.json {
			text, err := t.Get(ctx, "/v1/status")
			if err != nil {
				return err
			}
			return t.printJSON(text)
		}
		s, err := t.Status(ctx)
		if err != nil {
			return err
		}
		leader := s.Leader
		if leader == "" {
			leader = "unknown"
		}
		out := newTable(t.command.OutOrStdout(), "NODE", s.ID)
		out.row("role", fmt.Sprintf("%s (leader: %s, term %d)", s.Role, leader, s.Term))
		out.row("cluster", s.Cluster)
		out.row("index", strconv.FormatUint(s.Index, 10))
		out.row("agents", fmt.Sprintf("%d admitted, %d unreachable, %d gone", s.Agents.Admitted, s.Agents.Unreachable, s.Agents.Gone))
		out.row("digest", s.Digest)
		out.row("chain", s.Chain)
		out.row("liveness", s.Liveness)
		out.row("version", s.Version)
		return out.flush()
	})
}
