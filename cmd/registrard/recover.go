package main

import (
	"cmp"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/raftlog"
)

func recoverCommand() *cobra.Command {
	var o serverOptions
	var lost bool
	c := &cobra.Command{
		Use:   "recover DIR --data-dir NEW-DIR",
		Short: "Begin a new cluster with what a survivor has, when a majority is lost for good",
		Long: `Begin a new cluster with what a survivor has, when a majority of its members is lost for good.

DIR is the directory of a member that is stopped; of several survivors take the one whose last entry, as this command
shows it, has the highest term and then the highest index. The new cluster has this one member and is written to NEW-DIR, which must be
empty; DIR is not changed. Without --majority-is-lost the command only shows what it would do.

What the lost majority acknowledged and the survivor never heard is gone; what it heard and nobody acknowledged is kept.
The records and the digest are the survivor's, and nothing that the old cluster gave out is valid in the new one: it has
another id, so that no old member can ever come into it, its index is a thousand million ahead, the next master's epoch a
million, and watchers must read the registry anew. Members that are found again later join with an empty directory.`,
		Args: arguments(cobra.ExactArgs(1)),
	}
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "name of the member for all time (default: its name in the old cluster)")
	f.StringVar(&o.dataDir, "data-dir", "", "empty directory for the new cluster, made if need be")
	f.StringVar(&o.raftAddr, "raft-addr", "127.0.0.1:7051", "where the member will replicate, host:port")
	f.BoolVar(&lost, "majority-is-lost", false, "do it: I have made sure that a majority of the old members will never run again")
	environment(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.dataDir == "" {
			return usage("--data-dir is required")
		}
		o.backend = backendRaft
		return o.recover(c, args[0], lost)
	}
	return c
}

func (o serverOptions) recover(c *cobra.Command, dir string, lost bool) error {
	survivor := &inspection{out: io.Discard, registry: fsm.New()}
	stored, err := raftlog.Visit(dir, survivor)
	if errors.Is(err, log.ErrOtherLog) {
		return usage("%w: there is no majority of members to lose", err)
	}
	if err == nil {
		err = survivor.unread
	}
	if err != nil {
		return err
	}
	if survivor.last == 0 && len(survivor.snapshots) == 0 {
		return usage("%s holds nothing of cluster %s: this member had heard nothing yet", dir, stored.Cluster)
	}
	o.id = cmp.Or(o.id, stored.Node)
	var members []string
	for m := range survivor.registry.State().Members() {
		members = append(members, m.ID+" at "+m.RaftAddr)
	}
	state, about, err := fsm.Transplant(readSnapshot(survivor.registry.State()))
	if err != nil {
		return err
	}
	out := newTable(c.OutOrStdout(), "SURVIVOR", stored.Node+" of cluster "+stored.Cluster)
	out.row("members", strings.Join(members, ", "))
	out.row("last entry", survivor.lastEntry())
	describe(out, about)
	if err := out.flush(); err != nil {
		return err
	}
	if !lost {
		c.Printf("Nothing was changed. With --majority-is-lost, %s would become the only member of a new cluster in %s, and whatever\n"+
			"the others acknowledged after the last entry above would be gone. Make sure that they never run again.\n", o.id, o.dataDir)
		return errSaid
	}
	cluster, err := o.restoreLog(c.Context(), about.Index, state)
	if err != nil {
		return err
	}
	c.Printf("%s is the only member of the new cluster %s; start it with: registrard serve --id %s --data-dir %s ...\n"+
		"Others join it with empty directories: registrard serve --join ...\n", o.id, cluster, o.id, o.dataDir)
	return nil
}
