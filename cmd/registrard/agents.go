package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
)

// consistency is what the command's --stale says.
func (t *talk) consistency() registrar.Consistency {
	if t.stale {
		return registrar.Stale
	}
	return registrar.Linearizable
}

// query is the consistency as a parameter.
func (t *talk) query() string {
	if t.stale {
		return "?consistency=stale"
	}
	return ""
}

func agentsCommand() *cobra.Command {
	var phase, order string
	c := &cobra.Command{Use: "agents", Short: "List agents", Args: arguments(cobra.NoArgs)}
	c.Flags().StringVar(&phase, "phase", "", "only admitted, unreachable or gone ones")
	c.Flags().StringVar(&order, "order", "id", "id, or since: by the last change of phase")
	return reading(c, func(ctx context.Context, t *talk, _ []string) error {
		q := client.AgentQuery{Consistency: t.consistency(), BySince: order == "since"}
		if order != "id" && order != "since" {
			return usage("--order %q is neither id nor since", order)
		}
		if phase != "" {
			if err := q.Phase.UnmarshalText([]byte(phase)); err != nil {
				return usage("--phase: %v", err)
			}
		}
		if t.json {
			out := json.NewEncoder(t.command.OutOrStdout())
			out.SetEscapeHTML(false)
			for agent, err := range t.Agents(ctx, q) {
				if err != nil {
					return err
				}
				if err := out.Encode(agent); err != nil {
					return err
				}
			}
			return nil
		}
		out := newTable(t.command.OutOrStdout(), "ID", "PHASE", "HOSTNAME", "RESOURCES", "WORK", "SINCE", "REASON")
		for agent, err := range t.Agents(ctx, q) {
			if err != nil {
				return err
			}
			p := partsOf(agent.Info)
			out.row(agent.ID, agent.Phase.String(), p.Hostname, p.resources(), working(agent), when(agent.Since), agent.Reason)
		}
		return out.flush()
	})
}

func agentCommand() *cobra.Command {
	c := &cobra.Command{Use: "agent ID", Short: "Show one agent", Args: arguments(cobra.ExactArgs(1))}
	return reading(c, func(ctx context.Context, t *talk, args []string) error {
		agent, err := t.Agent(ctx, args[0], t.consistency())
		if err != nil {
			return err
		}
		if t.json {
			return t.print(agent)
		}
		p := partsOf(agent.Info)
		out := newTable(t.command.OutOrStdout(), "AGENT", agent.ID)
		out.row("phase", agent.Phase.String())
		out.row("since", when(agent.Since))
		out.row("reason", agent.Reason)
		out.row("by", agent.By)
		out.row("work", working(agent))
		if agent.Drain != nil && agent.Drain.MaxGracePeriod != nil {
			out.row("grace", agent.Drain.MaxGracePeriod.String())
		}
		out.row("hostname", p.Hostname)
		out.row("resources", p.resources())
		out.row("info", string(agent.Info))
		return out.flush()
	})
}
