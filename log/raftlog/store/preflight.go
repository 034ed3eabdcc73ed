package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/disk"
)

// CheckSnapshots is to be called before raft is started, or started again, on a log and its snapshots. It
// verifies the newest snapshot by reading it, and that snapshot and log join without a gap, where raft
// would panic. What can be put right without losing anything is:
//
//   - a damaged snapshot is set aside when an older one and the log, or the log alone, lead at least as
//     far: it goes to the directory "damaged" beside the others and the node goes on from the older one;
//   - a log that ends before the snapshot, or disagrees with it about the term of the entry where they
//     meet, is emptied, as the Raft paper (section 5 of the extended version, figure 13) has a follower do
//     when it installs a snapshot: a crash can come between the two.
//
// Everything else is disk.ErrDamaged, naming the file, with nothing changed.
func CheckSnapshots(s *Snapshots, l *Log) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	first, last, err := l.bounds()
	if err != nil {
		return err
	}

	var good *raft.SnapshotMeta
	var bad []error
	reach := uint64(0) // how far the damaged ones led
	for _, n := range names {
		meta, err := s.verify(n)
		if err == nil {
			good = meta
			break
		}
		bad = append(bad, err)
		reach = max(reach, n.index)
	}

	at := uint64(0)
	if good != nil {
		at = good.Index
	}
	gap := first > at+1
	if len(bad) > 0 && (gap || reach > max(last, at)) {
		return errors.Join(bad...)
	}
	if gap {
		return disk.Damaged(l.segments.holding(first),
			"the log starts at entry %d, but the newest snapshot in %s ends at %d", first, s.dir, at)
	}
	for i, err := range bad {
		s.logger.Error("damaged snapshot set aside, starting from the one before", "index", names[i].index, "error", err)
		if err := s.setAside(names[i]); err != nil {
			return err
		}
	}
	return s.join(good, l, first, last)
}

// join empties a log that the snapshot has overtaken.
func (s *Snapshots) join(good *raft.SnapshotMeta, l *Log, first, last uint64) error {
	if good == nil || first == 0 || first > good.Index {
		return nil
	}
	if last >= good.Index {
		var e raft.Log
		if err := l.read(good.Index, &e); err != nil {
			return err
		}
		if e.Term == good.Term {
			return nil
		}
	}
	s.logger.Warn("log emptied: a snapshot was installed over it", "index", good.Index, "term", good.Term)
	return l.DeleteRange(first, last)
}

// CheckAhead verifies the newest snapshot, so that CheckSnapshots finds that done: it needs the log to be open, and
// reading that takes as long. What is wrong is found again there.
func (s *Snapshots) CheckAhead() {
	if names, err := s.names(); err == nil && len(names) > 0 {
		_, _ = s.verify(names[0])
	}
}

// verify reads a snapshot from end to end and compares it with its name.
func (s *Snapshots) verify(n name) (*raft.SnapshotMeta, error) {
	if checked := s.checked.Load(); checked != nil && checked.ID == n.id {
		return checked, nil
	}
	dir := filepath.Join(s.dir, n.id)
	content, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, disk.Damaged(dir, "%w", err)
	}
	var meta raft.SnapshotMeta
	if err := json.Unmarshal(content, &meta); err != nil {
		return nil, disk.Damaged(filepath.Join(dir, metaFile), "%w", err)
	}
	if meta.ID != n.id || meta.Index != n.index || meta.Term != n.term || meta.Version != raft.SnapshotVersionMax {
		return nil, disk.Damaged(filepath.Join(dir, metaFile), "it is of another snapshot")
	}
	if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Size() != meta.Size {
		return nil, disk.Damaged(filepath.Join(dir, stateFile), "not %d bytes: %w", meta.Size, cmp.Or(err, errSize))
	}
	opened, r, err := s.Open(n.id)
	if err != nil {
		return nil, err
	}
	s.checked.Store(opened)
	return opened, r.Close()
}

var errSize = errors.New("size does not match")

// setAside moves a snapshot out of raft's sight.
func (s *Snapshots) setAside(n name) error {
	aside := filepath.Join(filepath.Dir(s.dir), "damaged")
	if err := disk.MakeDir(aside); err != nil {
		return err
	}
	to := filepath.Join(aside, n.id)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.dir, n.id), to); err != nil {
		return fmt.Errorf("set a damaged snapshot aside: %w", err)
	}
	return errors.Join(disk.SyncDir(s.dir), disk.SyncDir(aside))
}

// sortNames puts the newest first, in raft's order.
func sortNames(names []name) {
	slices.SortFunc(names, func(a, b name) int {
		return cmp.Or(cmp.Compare(b.term, a.term), cmp.Compare(b.index, a.index), cmp.Compare(b.milli, a.milli))
	})
}
