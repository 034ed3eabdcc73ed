package raftlog

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	snapshotRetry = 10 * time.Millisecond // while a change of members is being applied
	snapshotPause = 10 * time.Second      // after a snapshot that failed
	trailingBytes = 64 << 20              // of entries that stay behind a snapshot, but for one
)

// keep takes a snapshot whenever the log since the last has grown enough, until the log ends.
func (l *Log[R]) keep() {
	_, since := l.machine.growth()
	for l.machine.awaitGrowth(l.stop, l.cfg.SnapshotBytes) == nil {
		grown, applied := l.machine.growth()
		l.trail(trailing(l.cfg.TrailingEntries, grown, applied-since))
		since = applied
		err := l.Snapshot(l.stop)
		if err == nil {
			continue
		}
		if l.stop.Err() == nil {
			l.cfg.Logger.Error("snapshot failed, the log grows until one succeeds", "error", err)
		}
		select {
		case <-time.After(snapshotPause):
		case <-l.stop.Done():
			return // the snapshot is still due, so there is nothing to wait for above
		}
	}
}

// trailing is how many entries stay behind a snapshot, after so many bytes in so many entries: as a rule most, and
// fewer where they are large, for an entry is as large as a request.
func trailing(most, bytes, entries uint64) uint64 {
	return min(most, 1+trailingBytes/(1+bytes/max(entries, 1)))
}

// trail has raft keep so many entries behind the next snapshot.
func (l *Log[R]) trail(entries uint64) {
	r := l.raft.Load()
	config := r.ReloadableConfig()
	config.TrailingLogs = entries
	if err := r.ReloadConfig(config); err != nil {
		l.cfg.Logger.Error("more of the log stays than should", "error", err)
	}
}

// Snapshot implements log.Log.
func (l *Log[R]) Snapshot(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := l.reason(); err != nil {
			return err
		}
		_, err := l.fly(ctx, func(n *raft.Raft) raft.Future { return n.Snapshot() })
		switch {
		case err == nil:
			return nil
		case errors.Is(err, raft.ErrNothingNewToSnapshot):
			l.machine.change(func() { l.machine.grown = 0 }) // all of it was cut off again
			return nil
		case l.reason() != nil:
			return l.reason()
		case !strings.Contains(err.Error(), "cannot take snapshot now"): // raft has no value for it
			return err
		}
		select {
		case <-time.After(snapshotRetry):
		case <-ctx.Done():
		}
	}
}
