package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// document is a command that reads one path of the interface: as it is for programs, as a table for people.
func document[T any](use, short, path string, show func(*talk, T) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs)}
	return reading(c, func(ctx context.Context, t *talk, _ []string) error {
		text, err := t.Get(ctx, path+t.query())
		if err != nil {
			return err
		}
		if t.json {
			return t.printJSON(text)
		}
		var value T
		if err := json.Unmarshal(text, &value); err != nil {
			return fmt.Errorf("the answer is not understood here: %w", err)
		}
		return show(t, value)
	})
}

// registryDocument is GET /v1/registry.
type registryDocument struct {
	Index       uint64          `json:"index"`
	Digest      string          `json:"digest"`
	Epoch       uint64          `json:"epoch"`
	Master      *fsm.Master     `json:"master"`
	Agents      []*fsm.Agent    `json:"agents"`
	Frameworks  []fsm.Framework `json:"frameworks"`
	Quotas      []fsm.Quota     `json:"quotas"`
	Weights     []fsm.Weight    `json:"weights"`
	Machines    []fsm.Machine   `json:"machines"`
	Providers   []fsm.Provider  `json:"providers"`
	Capabilites []string        `json:"minimum_capabilities"`
}

func registryCommand() *cobra.Command {
	return document("registry", "Show the whole registry; the table only counts", "/v1/registry", func(t *talk, r registryDocument) error {
		counts := map[fsm.Phase]int{}
		for _, agent := range r.Agents {
			counts[agent.Phase]++
		}
		out := newTable(t.command.OutOrStdout(), "REGISTRY", "at index "+strconv.FormatUint(r.Index, 10))
		out.row("digest", r.Digest)
		if r.Master != nil {
			out.row("master", fmt.Sprintf("%s, epoch %d", r.Master.ID, r.Master.Epoch))
		}
		out.row("agents", fmt.Sprintf("%d admitted, %d unreachable, %d gone", counts[fsm.Admitted], counts[fsm.Unreachable], counts[fsm.Gone]))
		out.row("frameworks", strconv.Itoa(len(r.Frameworks)))
		out.row("quotas", strconv.Itoa(len(r.Quotas)))
		out.row("weights", strconv.Itoa(len(r.Weights)))
		out.row("machines", fmt.Sprintf("%d in maintenance", len(r.Machines)))
		out.row("providers", strconv.Itoa(len(r.Providers)))
		out.row("needs", strings.Join(r.Capabilites, ", "))
		return out.flush()
	})
}

func frameworksCommand() *cobra.Command {
	type answer struct {
		Frameworks []fsm.Framework `json:"frameworks"`
	}
	return document("frameworks", "List frameworks", "/v1/frameworks", func(t *talk, a answer) error {
		out := newTable(t.command.OutOrStdout(), "ID", "STATE", "PRINCIPAL", "USER", "FAILOVER", "SINCE", "REASON")
		for _, f := range a.Frameworks {
			out.row(f.ID, f.State.String(), f.Principal, f.User, f.Failover.String(), when(f.Since), f.Reason)
		}
		return out.flush()
	})
}

func quotasCommand() *cobra.Command {
	type answer struct {
		Quotas []fsm.Quota `json:"quotas"`
	}
	return document("quotas", "List quotas", "/v1/quotas", func(t *talk, a answer) error {
		out := newTable(t.command.OutOrStdout(), "ROLE", "GUARANTEES", "LIMITS")
		for _, q := range a.Quotas {
			out.row(q.Role, amounts(q.Guarantees), amounts(q.Limits))
		}
		return out.flush()
	})
}

func weightsCommand() *cobra.Command {
	type answer struct {
		Weights []fsm.Weight `json:"weights"`
	}
	return document("weights", "List weights", "/v1/weights", func(t *talk, a answer) error {
		out := newTable(t.command.OutOrStdout(), "ROLE", "WEIGHT")
		for _, w := range a.Weights {
			out.row(w.Role, number(w.Weight))
		}
		return out.flush()
	})
}

func maintenanceCommand() *cobra.Command {
	type answer struct {
		Machines []fsm.Machine `json:"machines"`
	}
	return document("maintenance", "List the machines of the maintenance schedule", "/v1/maintenance", func(t *talk, a answer) error {
		out := newTable(t.command.OutOrStdout(), "HOSTNAME", "IP", "MODE", "START", "DURATION")
		for _, m := range a.Machines {
			duration := "no end"
			if m.Unavailability.Duration != nil {
				duration = m.Unavailability.Duration.String()
			}
			out.row(m.ID.Hostname, m.ID.IP, m.Mode.String(), when(m.Unavailability.Start), duration)
		}
		return out.flush()
	})
}

func masterCommand() *cobra.Command {
	return document("master", "Show who holds mastership", "/v1/master", func(t *talk, m wire.Master) error {
		if m.Master == nil {
			t.command.Printf("nobody holds mastership; the last epoch was %d\n", m.Epoch)
			return nil
		}
		out := newTable(t.command.OutOrStdout(), "MASTER", "EPOCH", "TTL", "SINCE", "BY")
		out.row(m.Master.ID, strconv.FormatUint(m.Master.Epoch, 10), m.Master.TTL.String(), when(m.Master.Since), m.Master.By)
		return out.flush()
	})
}
