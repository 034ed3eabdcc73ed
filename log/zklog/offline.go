package zklog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// reachTime is how long Restore and Visit wait for the ensemble. A Log waits for as long as it takes.
const reachTime = 30 * time.Second

// connect begins a session that lives as long as ctx, and gives up where no server grants it in reachTime.
func connect(ctx context.Context, cfg Config) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(reachTime, func() {
		cancel(fmt.Errorf("no server of the ZooKeeper ensemble at %s has granted a session in %s", strings.Join(cfg.Servers, ","), reachTime))
	})
	defer late.Stop()
	s, err := reach(ctx, cfg, func(*session) {})
	if err != nil {
		cancel(err)
		return nil, err
	}
	context.AfterFunc(s, func() { cancel(nil) })
	return s, nil
}

// Restore makes a new log below cfg.Root, which must hold nothing, that begins with a snapshot at index. It returns the
// id of its cluster, a new one. cfg.Dir, where given, must be empty and becomes the directory of member cfg.ID. The
// ensemble is waited for half a minute.
//
// The root is the new cluster's from the last request on, which makes everything that a member looks for. What is there
// before, after an error or a crash, is taken for a log by nobody, and Restore may be called again. Only an error that
// wraps log.ErrUncertain leaves it open whether that request was done: then another call tells, which is refused by
// a root that holds a log.
func Restore(ctx context.Context, cfg Config, index uint64, state io.WriterTo) (cluster string, err error) {
	if err := cfg.Validate(); err != nil {
		return "", err
	}
	cfg = cfg.withDefaults()
	if cfg.Dir != "" {
		lock, err := disk.ClaimEmpty(cfg.Dir)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
	}
	s, err := connect(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer s.finish(nil)
	if err := s.makeRoot(); err != nil {
		return "", err
	}
	turn, err := s.claimRoot()
	if err != nil {
		return "", err
	}
	ref, err := s.writeSnapshot(snapshotName(index), index, state)
	if err != nil {
		return "", s.unfinished(turn, err)
	}
	if cluster, err = s.settle(turn, head{Last: index, Tail: index + 1, Keep: index + 1, Snapshot: ref}); err != nil {
		return "", err
	}
	if cfg.Dir != "" {
		if err := remember(cfg, cluster); err != nil {
			return "", fmt.Errorf("%s holds the new cluster %s, but %s could not be made a member's directory: %w", cfg.Root, cluster, cfg.Dir, err)
		}
	}
	return cluster, nil
}

// claimRoot marks an empty root as one that is being restored, or one whose restore was not finished as restored anew.
// It returns the version of the mark; whoever claims the root later raises it.
func (s *session) claimRoot() (turn int32, err error) {
	host, _ := os.Hostname()
	mark, err := encodeDocument(presence{ID: s.cfg.ID, Process: rand.Text(), Host: host, PID: os.Getpid()})
	if err != nil {
		return 0, err
	}
	for {
		var names []string
		err := s.insist(func() (err error) {
			names, _, err = s.conn.Children(s.cfg.Root)
			return err
		})
		if err != nil {
			return 0, s.explain("read "+s.cfg.Root, err)
		}
		switch {
		case slices.Contains(names, identityNode):
			cluster, err := s.identify()
			if err == nil {
				err = fmt.Errorf("%s holds the log of cluster %s, and nothing is overwritten: name another root", s.cfg.Root, cluster)
			}
			return 0, err
		case slices.Contains(names, restoringNode):
			err = s.insist(func() error {
				stat, err := s.conn.Set(s.path(restoringNode), mark, -1)
				if err == nil {
					turn = stat.Version
				}
				return err
			})
			if errors.Is(err, zk.ErrNoNode) { // it was finished meanwhile
				continue
			}
			if err == nil {
				err = s.removeBlobs()
			}
			if err != nil {
				return 0, s.explain("begin the restore of "+s.cfg.Root+" anew", err)
			}
			return turn, nil
		case len(names) > 0:
			return 0, fmt.Errorf("%s is not empty: it holds %s, and nothing is overwritten: name another root", s.cfg.Root, names[0])
		}
		err = s.insist(func() error {
			_, err := s.conn.Multi(s.create(restoringNode, mark), s.create(blobsNode, nil))
			return err
		})
		switch {
		case errors.Is(err, zk.ErrNodeExists): // by somebody else just now, or by an attempt whose answer was lost
		case err != nil:
			return 0, s.explain("begin a restore of "+s.cfg.Root, err)
		default:
			return 0, nil
		}
	}
}

// removeBlobs takes away what an unfinished restore has written. One that goes on all the same fails at its end, and
// what it writes until then is removed by the first leader.
func (s *session) removeBlobs() error {
	names, err := s.list(blobsNode)
	for _, name := range names {
		if e := s.removeBlob(name); e != nil && !errors.Is(e, zk.ErrNotEmpty) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// settle makes the root a new cluster's and takes the mark away, in one request.
func (s *session) settle(turn int32, h head) (cluster string, err error) {
	cluster, ops, err := s.foundation(h)
	if err != nil {
		return "", err
	}
	ops = append(ops, &zk.DeleteRequest{Path: s.path(restoringNode), Version: turn})
	err = s.insist(func() error {
		_, err := s.conn.Multi(ops...)
		return err
	})
	switch {
	case err == nil:
		return cluster, nil
	case s.Err() != nil:
		return "", fmt.Errorf("%w: %s: the session ended before the last request was answered: %w", log.ErrUncertain, s.cfg.Root, err)
	}
	if now, e := s.identify(); e == nil && now == cluster {
		return cluster, nil // by an attempt whose answer was lost
	}
	return "", s.unfinished(turn, err)
}

// unfinished says why a restore has failed and how to go on.
func (s *session) unfinished(turn int32, err error) error {
	if _, stat, e := s.get(restoringNode); errors.Is(e, zk.ErrNoNode) || e == nil && stat.Version != turn {
		return fmt.Errorf("restore %s: another restore of it has begun meanwhile", s.cfg.Root)
	}
	return s.explain("restore "+s.cfg.Root+", which is not finished and begins anew when it is run again", err)
}

// Visit shows what is kept below cfg.Root, while members run or not: what was there when it was called. Entries carry the
// number of their reign as their term. cfg.ID is not needed. cfg.Dir, where given, is the directory of a member: it says
// where the ensemble is, unless cfg does, and the root must be of its cluster. The ensemble is waited for half a minute.
func Visit(ctx context.Context, cfg Config, v log.Visitor) (stored log.Stored, err error) {
	stored.Backend = backend
	if cfg.Dir != "" {
		kept, err := readMembership(cfg.Dir)
		if err != nil {
			return stored, err
		}
		stored.Node, stored.Cluster = kept.Node, kept.Cluster
		if len(cfg.Servers) == 0 {
			cfg.Servers, cfg.Root = kept.Servers, kept.Root
		}
	}
	if err := cfg.validatePlace(); err != nil {
		return stored, err
	}
	s, err := connect(ctx, cfg.withDefaults())
	if err != nil {
		return stored, err
	}
	defer s.finish(nil)
	if err := s.sync(); err != nil {
		return stored, err
	}
	cluster, err := s.identify()
	if errors.Is(err, zk.ErrNoNode) {
		return stored, s.noLog("holds no log")
	}
	if err != nil {
		return stored, err
	}
	if cmp.Or(stored.Cluster, cluster) != cluster {
		return stored, fmt.Errorf("%s is of cluster %s, and directory %s of %s", s.cfg.Root, cluster, cfg.Dir, stored.Cluster)
	}
	stored.Cluster = cluster
	h, state, err := s.newestSnapshot()
	if err != nil {
		return stored, err
	}
	if h.Snapshot.Index > 0 {
		if err := v.Snapshot(h.Snapshot.Index, true, state); err != nil {
			return stored, fmt.Errorf("the snapshot %s: %w", s.path(blobsNode+"/"+h.Snapshot.Name), err)
		}
	}
	return stored, s.visitEntries(h, v)
}

// newestSnapshot reads the head and, whole, the snapshot that it names. A leader may put another in its place meanwhile.
func (s *session) newestSnapshot() (h head, state *bytes.Buffer, err error) {
	h, _, err = s.head()
	for err == nil {
		state = new(bytes.Buffer)
		_, err = state.ReadFrom(s.readBlob(h.Snapshot))
		if !errors.Is(err, zk.ErrNoNode) {
			break
		}
		h, err = s.replaced(h.Snapshot, err)
	}
	return h, state, err
}

// visitEntries shows the entries that a head tells of. A leader may drop some meanwhile that a snapshot holds.
func (s *session) visitEntries(h head, v log.Visitor) error {
	for next := h.Keep; next <= h.Last; {
		entries, err := s.readEntries(next, min(next+readAhead-1, h.Last))
		for _, e := range entries {
			if err := v.Entry(e.index, e.reign, e.command); err != nil {
				return err
			}
			next++
		}
		if errors.Is(err, zk.ErrNoNode) {
			var now head
			if now, err = s.dropped(next, err); err == nil && now.Keep > h.Snapshot.Index+1 {
				err = fmt.Errorf("%s was cut twice while it was read: try again", s.path(logNode))
			}
			next = now.Keep
		}
		if err != nil {
			return err
		}
	}
	return nil
}
