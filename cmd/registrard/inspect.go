package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

func inspectCommand() *cobra.Command {
	var output string
	var entries bool
	var o serverOptions
	c := &cobra.Command{
		Use:   "inspect DIR|FILE",
		Short: "Look inside a stopped node's directory, a ZooKeeper ensemble, or a backup",
		Long: `Look inside a stopped node's directory, whatever its log is kept in, or a backup: whose it is, its snapshots, its log,
and the registry that a restart would come to. Every checksum is verified; damage is named, and the exit status is then 1.
Nothing is changed. Entries at the end of a Raft log may not have been committed.

A log on ZooKeeper is read from the ensemble, while nodes run or not. The directory of a node that had one says where that
is; --zookeeper says it instead of it, or without any directory.`,
		Args: arguments(cobra.MaximumNArgs(1)),
	}
	o.zookeeper.placeFlags(c.Flags())
	c.Flags().BoolVar(&entries, "entries", false, "every entry of the log too, one line each")
	c.Flags().StringVarP(&output, "output", "o", "table", "table for people, json for programs, one object a line")
	environment(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if output != "table" && output != "json" {
			return usage("--output %q is neither table nor json", output)
		}
		i := &inspection{out: c.OutOrStdout(), json: output == "json", entries: entries, registry: fsm.New()}
		if len(args) == 0 {
			if o.zookeeper.servers == "" {
				return usage("what to look at? a directory, a backup, or --zookeeper")
			}
			return i.log(c.Context(), "ZOOKEEPER", o.zookeeper.servers, o)
		}
		info, err := os.Stat(args[0])
		if err != nil {
			return err
		}
		if !info.IsDir() {
			if o.zookeeper != (zookeeperOptions{}) {
				return usage("%s is a file, and --zookeeper goes with a directory, or alone", args[0])
			}
			return i.file(args[0])
		}
		o.dataDir = args[0]
		return i.log(c.Context(), "DIRECTORY", o.dataDir, o)
	}
	return c
}

// inspection shows what is stored and plays it to a registry, as a restart would.
type inspection struct {
	out      io.Writer
	json     bool
	entries  bool
	registry *fsm.Registry

	snapshots   []fsm.About
	first, last uint64 // entries of the log
	lastTerm    uint64
	commands    int
	operations  int
	unread      error // the entry from which on this program does not know the log
}

// file is a backup.
func (i *inspection) file(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	about, err := fsm.ReadSnapshot(file)
	if err != nil {
		return disk.Damaged(name, "%w", err)
	}
	if i.json {
		return i.line(describeSnapshot(about))
	}
	out := newTable(i.out, "BACKUP", name)
	describe(out, about)
	return out.flush()
}

func describe(out *table, a fsm.About) {
	out.row("index", strconv.FormatUint(a.Index, 10))
	out.row("time", a.Time.Time().UTC().Format(time.RFC3339))
	out.row("agents", fmt.Sprintf("%d admitted, %d unreachable, %d gone", a.Agents[0], a.Agents[1], a.Agents[2]))
	out.row("epoch", strconv.FormatUint(a.Epoch, 10))
	out.row("digest", a.Digest)
	out.row("chain", a.Chain)
}

// log is what a backend has kept, in a stopped node's directory or in an ensemble.
func (i *inspection) log(ctx context.Context, kind, place string, o serverOptions) error {
	stored, err := o.visitLog(ctx, i)
	if err != nil {
		return err
	}
	about, err := i.result()
	if err != nil {
		return err
	}
	if i.json {
		err = i.line(struct {
			Backend    string        `json:"log"`
			Node       string        `json:"node,omitzero"`
			Cluster    string        `json:"cluster"`
			Snapshots  []uint64      `json:"snapshots"`
			First      uint64        `json:"first_entry"`
			Last       uint64        `json:"last_entry"`
			Commands   int           `json:"commands"`
			Operations int           `json:"operations"`
			Registry   snapshotAbout `json:"registry"`
		}{stored.Backend, stored.Node, stored.Cluster, i.indexes(), i.first, i.last, i.commands, i.operations, describeSnapshot(about)})
		return errors.Join(err, i.unread)
	}
	out := newTable(i.out, kind, place)
	out.row("log", stored.Backend)
	out.row("node", stored.Node)
	out.row("cluster", stored.Cluster)
	for _, s := range i.snapshots {
		out.row("snapshot", fmt.Sprintf("at index %d, digest %s", s.Index, s.Digest))
	}
	entries := "none"
	if i.last > 0 {
		entries = fmt.Sprintf("%d to %d, %d with commands of %d operations", i.first, i.last, i.commands, i.operations)
	}
	out.row("entries", entries)
	describe(out, about)
	return errors.Join(out.flush(), i.unread)
}

func (i *inspection) indexes() []uint64 {
	list := []uint64{}
	for _, s := range i.snapshots {
		list = append(list, s.Index)
	}
	return list
}

// result is the registry at the end.
func (i *inspection) result() (fsm.About, error) {
	return fsm.ReadSnapshot(readSnapshot(i.registry.State()))
}

// readSnapshot is a snapshot of a State, to be read to the end.
func readSnapshot(s *fsm.State) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := s.Snapshot().WriteTo(w)
		w.CloseWithError(err)
	}()
	return r
}

// lastEntry is how far the log goes: of two members the one with the higher term, and then the higher index, knows more.
func (i *inspection) lastEntry() string {
	if i.last == 0 {
		return fmt.Sprintf("in the snapshot at index %d", i.snapshots[len(i.snapshots)-1].Index)
	}
	return fmt.Sprintf("term %d, index %d", i.lastTerm, i.last)
}

// Snapshot implements log.Visitor.
func (i *inspection) Snapshot(index uint64, newest bool, state io.Reader) error {
	if newest {
		if err := i.registry.Restore(state); err != nil {
			return err
		}
		about, err := i.result()
		i.snapshots = append(i.snapshots, about)
		return err
	}
	about, err := fsm.ReadSnapshot(state)
	i.snapshots = append(i.snapshots, about)
	return err
}

// Entry implements log.Visitor.
func (i *inspection) Entry(index, term uint64, command []byte) error {
	if i.last, i.lastTerm = index, term; i.first == 0 {
		i.first = index
	}
	if command == nil {
		if i.entries {
			return i.entry(storedEntry{Index: index, Term: term})
		}
		return nil
	}
	i.commands++
	frame, err := fsm.DecodeFrame(command)
	if err == nil {
		i.operations += len(frame.Proposals)
	}
	if i.unread == nil && index > i.registry.State().Index() {
		if err == nil {
			_, err = i.registry.Apply(index, command)
		}
		if err != nil {
			i.unread = fmt.Errorf("%w: this program cannot go past entry %d: %w", log.ErrHalted, index, err)
		}
	}
	if !i.entries || frame == nil {
		return nil
	}
	e := storedEntry{Index: index, Term: term, Time: &frame.At, Reign: frame.Reign, Operations: []storedOperation{}}
	for _, p := range frame.Proposals {
		args, err := json.Marshal(p.Op)
		if err != nil {
			return err
		}
		e.Operations = append(e.Operations, storedOperation{string(p.Op.Kind()), args, p.RequestID, p.Epoch, p.By})
	}
	return i.entry(e)
}

type storedEntry struct {
	Index      uint64            `json:"index"`
	Term       uint64            `json:"term,omitempty"`
	Time       *fsm.Time         `json:"time,omitempty"`
	Reign      uint64            `json:"reign,omitempty"`
	Operations []storedOperation `json:"operations,omitempty"`
}

type storedOperation struct {
	Kind      string   `json:"kind"`
	Args      jsonText `json:"args"`
	RequestID string   `json:"request_id,omitempty"`
	Epoch     uint64   `json:"epoch,omitempty"`
	By        string   `json:"by,omitempty"`
}

// jsonText is JSON that is written as it is.
type jsonText []byte

// MarshalJSON implements json.Marshaler.
func (t jsonText) MarshalJSON() ([]byte, error) { return t, nil }

// entry prints one entry.
func (i *inspection) entry(e storedEntry) error {
	if i.json {
		return i.line(e)
	}
	head := fmt.Sprintf("%d", e.Index)
	if e.Term > 0 {
		head += fmt.Sprintf("  term %d", e.Term)
	}
	if e.Time == nil {
		_, err := fmt.Fprintf(i.out, "%s  no command\n", head)
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", head, e.Time.Time().UTC().Format(time.RFC3339Nano))
	for _, o := range e.Operations {
		fmt.Fprintf(&b, "    %s %s", o.Kind, o.Args)
		if o.By != "" {
			fmt.Fprintf(&b, " by %s", o.By)
		}
		if o.RequestID != "" {
			fmt.Fprintf(&b, " request %s", o.RequestID)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(i.out, b.String())
	return err
}

// line prints one object.
func (i *inspection) line(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = i.out.Write(append(text, '\n'))
	}
	return err
}
