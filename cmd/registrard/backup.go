package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/registrar"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write a consistent snapshot of a running registry to a file",
		Long: `Write a consistent snapshot of a running registry to a file, or to standard output. It is verified to the last byte on
the way; a file appears only when it is whole and on the disk. With --stale the asked node gives its own state, so
that the leader has no work with it. registrard restore makes a registry of it again, registrard inspect looks inside.`,
		Args: arguments(cobra.ExactArgs(1)),
	}
	endless(c)
	stale := c.Flags().Bool("stale", false, "the asked node's own state, at once, even without a leader")
	return talking(c, func(ctx context.Context, t *talk, args []string) error {
		consistency := registrar.Linearizable
		if *stale {
			consistency = registrar.Stale
		}
		from, err := t.Backup(ctx, consistency)
		if err != nil {
			return err
		}
		defer from.Close()
		bar := newBytesProgress(t.command.ErrOrStderr(), "backup")
		defer bar.end()
		if args[0] == "-" {
			_, err := fsm.ReadSnapshot(io.TeeReader(from, io.MultiWriter(t.command.OutOrStdout(), bar)))
			return err
		}
		about, err := saveBackup(args[0], io.TeeReader(from, bar))
		if err != nil {
			return err
		}
		bar.end()
		return t.done(describeSnapshot(about), "%s: %d agents at index %d, digest %s\n", args[0], about.Agents[0]+about.Agents[1]+about.Agents[2], about.Index, about.Digest)
	})
}

// saveBackup writes a file that is there whole, verified and durable, or not at all.
func saveBackup(name string, from io.Reader) (about fsm.About, err error) {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return about, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	about, err = fsm.ReadSnapshot(io.TeeReader(from, file))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return about, err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return about, err
	}
	return about, disk.SyncDir(filepath.Dir(name))
}

// snapshotAbout is what programs are told of a snapshot.
type snapshotAbout struct {
	Index       uint64   `json:"index"`
	Time        fsm.Time `json:"time"`
	Format      uint64   `json:"format"`
	Epoch       uint64   `json:"epoch"`
	Digest      string   `json:"digest"`
	Chain       string   `json:"chain"`
	Admitted    int      `json:"admitted"`
	Unreachable int      `json:"unreachable"`
	Gone        int      `json:"gone"`
}

func describeSnapshot(a fsm.About) snapshotAbout {
	return snapshotAbout{a.Index, a.Time, a.Format, a.Epoch, a.Digest, a.Chain, a.Agents[0], a.Agents[1], a.Agents[2]}
}

// newBytesProgress is a bar for a stream whose length nobody knows, on a terminal, and nothing elsewhere.
func newBytesProgress(out io.Writer, what string) *progress {
	p := newProgress(out, -1, what)
	if p.bar != nil {
		p.bar = progressbar.DefaultBytes(-1, what)
	}
	return p
}

// Write counts what passes.
func (p *progress) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}

func restoreCommand() *cobra.Command {
	var o serverOptions
	c := &cobra.Command{
		Use:   "restore FILE --id ID --data-dir DIR",
		Short: "Make a new registry of a backup",
		Long: `Make a new registry of a backup, in an empty directory: nothing is ever overwritten. With --log raft it is a new cluster
of one member, which others join; with --log leveldb it is a single node; with --log zookeeper it is on the ensemble, below
a path that holds nothing yet, and the directory may be left out. Start it with registrard serve.

A restore that is interrupted leaves nothing that serve would take for a registry. On ZooKeeper, run it again: it begins
anew. Elsewhere take another directory.

The records are those of the backup, and so is the digest. Nothing that the old cluster gave out is valid in the new
one: it has another id, its index is a thousand million ahead, the next master's epoch a million, and watchers must
read the registry anew. The old cluster must not go on beside it.`,
		Args: arguments(cobra.ExactArgs(1)),
	}
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "name of the member for all time")
	f.StringVar(&o.dataDir, "data-dir", "", "empty directory, made if need be")
	f.StringVar(&o.raftAddr, "raft-addr", "127.0.0.1:7051", "where the member will replicate, host:port")
	f.StringVar(&o.backend, "log", backendRaft, "where the log is to be kept: raft, leveldb or zookeeper")
	o.zookeeper.flags(f)
	environment(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.id == "" {
			return usage("--id is required")
		}
		if err := o.checkRestore(); err != nil {
			return err
		}
		from := c.InOrStdin()
		if args[0] != "-" {
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			from = file
		}
		state, about, err := fsm.Transplant(from)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		cluster, err := o.restoreLog(c.Context(), about.Index, state)
		if err != nil {
			return err
		}
		c.Printf("%d agents, digest %s\nThe new cluster %s is at index %d; start its first member with: registrard serve --id %s%s --log %s ...\n",
			about.Agents[0]+about.Agents[1]+about.Agents[2], about.Digest, cluster, about.Index, o.id, o.where(), o.backend)
		return nil
	}
	return c
}

// where is the flags of a serve that say where the log is.
func (o serverOptions) where() (flags string) {
	if o.dataDir != "" {
		flags += " --data-dir " + o.dataDir
	}
	if o.zookeeper.servers != "" {
		flags += " --zookeeper " + o.zookeeper.servers
	}
	return flags
}
