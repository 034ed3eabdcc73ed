package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"

	"github.com/registrard/registrard/log/disk"
)

// MaxEntry is the most bytes that the data of one entry may have. A larger one would be written and could
// never be read again.
const MaxEntry = segment.MaxEntrySize - 1<<20

// LogConfig says how to open a Log.
type LogConfig struct {
	// Guard watches every write. Required.
	Guard *Guard
	// SegmentBytes is the size of a segment file, allocated when it is made. Default 64 MiB.
	SegmentBytes int
	// KeepAfter names the index of the oldest snapshot that is to be of use: compaction leaves every
	// entry after it. Default 0 always, which keeps everything. Snapshots.Before is made for it.
	KeepAfter func() uint64
	Logger    hclog.Logger
}

// Log keeps raft's entries in the segment files of raft-wal, each with a checksum of its own. It implements
// raft.LogStore and raft.MonotonicLogStore.
type Log struct {
	dir      string
	cfg      LogConfig
	wal      *wal.WAL
	segments *segments

	mu   sync.Mutex // one write at a time, so that high never says more than is there
	high *disk.Mark // highest index written
}

// OpenLog opens the log in dir, or starts an empty one where dir is empty, and reads it from end to end. It
// fails with disk.ErrDamaged, naming file and index, unless every entry that was ever acknowledged is there and
// whole; what that cannot see is in the package comment.
func OpenLog(dir string, cfg LogConfig) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.KeepAfter == nil {
		cfg.KeepAfter = func() uint64 { return 0 }
	}
	if err := disk.MakeDir(dir); err != nil {
		return nil, err
	}
	l := &Log{dir: dir, cfg: cfg, segments: &segments{path: filepath.Join(dir, "segments"), files: newFiler(dir)}}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Log) open() error {
	path := filepath.Join(l.dir, "high-water")
	if err := l.prepare(path); err != nil {
		return err
	}
	high, index, _, err := disk.OpenMark(path)
	if err != nil {
		return err
	}
	l.high, l.segments.written = high, index
	if listed, err := disk.Exists(l.segments.path); err != nil {
		return err
	} else if !listed && index > 0 {
		return disk.Damaged(l.segments.path, "missing, though entry %d was written", index)
	}
	err = safely(l.dir, func() error {
		l.wal, err = wal.Open(l.dir, wal.WithLogger(l.cfg.Logger), wal.WithMetaStore(l.segments),
			wal.WithSegmentFiler(l.segments.files), wal.WithSegmentSize(l.cfg.SegmentBytes))
		return err
	})
	if err != nil {
		return fmt.Errorf("open the log in %s: %w", l.dir, err)
	}
	last, err := l.verify()
	if err != nil {
		return err
	}
	if last < index {
		return disk.Damaged(l.segments.holding(last+1), "the log ends at entry %d, but entry %d was written", last, index)
	}
	return l.high.Write(last, 0, false)
}

// prepare starts a log in an empty directory, and refuses one from which its files have gone: raft-wal would
// delete the segments that it finds no list of.
func (l *Log) prepare(high string) error {
	marked, err := disk.Exists(high)
	if err != nil {
		return err
	}
	listed, err := disk.Exists(l.segments.path)
	if err != nil {
		return err
	}
	stored, err := filepath.Glob(filepath.Join(l.dir, "*.wal"))
	if err != nil {
		return err
	}
	switch {
	case !listed && len(stored) > 0:
		return disk.Damaged(l.segments.path, "missing, though %s is there", filepath.Base(stored[0]))
	case !marked && listed:
		return disk.Damaged(high, "missing, though %s is there", filepath.Base(l.segments.path))
	case !marked:
		return disk.CreateMark(high, 0, 0)
	}
	return nil
}

// verify reads every entry and returns the index of the last.
func (l *Log) verify() (uint64, error) {
	first, last, err := l.bounds()
	if err != nil || first == 0 {
		return 0, err
	}
	var e raft.Log
	for index := first; index <= last; index++ {
		if err := l.read(index, &e); err != nil {
			return 0, err
		}
	}
	return last, nil
}

func (l *Log) bounds() (first, last uint64, err error) {
	if first, err = l.wal.FirstIndex(); err == nil {
		last, err = l.wal.LastIndex()
	}
	return first, last, err
}

// read gets one entry, verified.
func (l *Log) read(index uint64, e *raft.Log) error {
	err := safely(l.dir, func() error { return l.wal.GetLog(index, e) })
	if err == nil {
		err = unseal(index, e)
	}
	if err != nil {
		return disk.Damaged(l.segments.holding(index), "entry %d: %w", index, err)
	}
	return nil
}

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) { return l.wal.FirstIndex() }

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) { return l.wal.LastIndex() }

// IsMonotonic implements raft.MonotonicLogStore: raft empties the log after a snapshot was installed,
// instead of leaving a gap.
func (l *Log) IsMonotonic() bool { return l.wal.IsMonotonic() }

// GetLog implements raft.LogStore. An entry that has been damaged since the log was opened breaks the Guard.
func (l *Log) GetLog(index uint64, e *raft.Log) error {
	first, last, err := l.bounds()
	if err != nil {
		return err
	}
	if index < first || index > last || index == 0 {
		return raft.ErrLogNotFound
	}
	if err := l.read(index, e); err != nil {
		if first, _, berr := l.bounds(); berr == nil && index < first {
			return raft.ErrLogNotFound // compacted while we looked
		}
		if !errors.Is(err, wal.ErrClosed) {
			l.cfg.Guard.Fail(err)
		}
		return err
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs implements raft.LogStore: the entries are on disk when it returns.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if len(e.Data)+len(e.Extensions) > MaxEntry {
			return fmt.Errorf("entry %d has %d bytes, at most %d", e.Index, len(e.Data)+len(e.Extensions), MaxEntry)
		}
	}
	sealed := seal(entries)
	last := entries[len(entries)-1].Index
	return l.write("append to the log", func() error {
		if err := l.wal.StoreLogs(sealed); err != nil {
			return err
		}
		return l.high.Write(last, 0, false)
	})
}

// DeleteRange implements raft.LogStore. Entries that KeepAfter still wants stay, unless the whole log goes.
// raft must be configured with at least one trailing log: compaction that reaches the last entry could not
// be told from emptying the log.
func (l *Log) DeleteRange(low, high uint64) error {
	return l.write("truncate the log", func() error {
		first, last, err := l.bounds()
		if err != nil || first == 0 || high < first || low > last {
			return err
		}
		switch {
		case low > first && high >= last:
			// The mark is lowered first, and for sure: a mark above what is there would be a false alarm.
			if err := l.high.Write(low-1, 0, true); err != nil {
				return err
			}
		case low <= first && high >= last:
			if err := l.high.Write(0, 0, true); err != nil {
				return err
			}
		default:
			high = min(high, l.cfg.KeepAfter())
		}
		if low > high {
			return nil
		}
		return l.wal.DeleteRange(low, high)
	})
}

// write runs one write at a time under the Guard.
func (l *Log) write(what string, f func() error) error {
	return l.cfg.Guard.Do(what+" in "+l.dir, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		return safely(l.dir, f)
	})
}

// Close lets go of the files. The Guard is the caller's.
func (l *Log) Close() error {
	var err error
	if l.wal != nil {
		err = l.wal.Close()
	}
	if l.high != nil {
		err = errors.Join(err, l.high.Close())
	}
	return err
}
