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
)

// keep takes a snapshot whenever the log since the last has grown enough, until the log ends.
func (l *Log[R]) keep() {
	for l.machine.awaitGrowth(l.stop, l.cfg.SnapshotBytes) == nil {
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
		case err == nil, errors.Is(err, raft.ErrNothingNewToSnapshot):
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
