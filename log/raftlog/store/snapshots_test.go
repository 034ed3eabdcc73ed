package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"

	"github.com/registrard/registrard/log/disk"
)

func segmentsState(n uint64) types.PersistentState {
	state := types.PersistentState{NextSegmentID: n}
	for i := range n {
		state.Segments = append(state.Segments, types.SegmentInfo{ID: i, BaseIndex: i * 10})
	}
	return state
}

func openSnapshots(t *testing.T, dir string) *Snapshots {
	t.Helper()
	s, err := OpenSnapshots(dir, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func takeSnapshot(t *testing.T, s *Snapshots, index, term uint64, state string) (id string) {
	t.Helper()
	_, trans := raft.NewInmemTransport("n1")
	defer trans.Close()
	members := raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: "127.0.0.1:7051"}}}
	sink, err := s.Create(raft.SnapshotVersionMax, index, term, members, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte(state)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return sink.ID()
}

// A snapshot comes back as it was written, the last two are kept, and unfinished ones go.
func TestSnapshotsSurviveReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSnapshots(t, dir)
	if s.Before() != 0 {
		t.Error("there is a snapshot before none")
	}
	takeSnapshot(t, s, 10, 2, "ten")
	if s.Before() != 0 {
		t.Error("there is a snapshot before the first")
	}
	big := strings.Repeat("x", 3*syncEvery)
	takeSnapshot(t, s, 20, 2, big)
	takeSnapshot(t, s, 30, 3, "thirty")
	if s.Before() != 20 {
		t.Errorf("the one before the last is at %d", s.Before())
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "3-40-1.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir)
	s = openSnapshots(t, dir)
	metas, err := s.List()
	if err != nil || len(metas) != 2 {
		t.Fatalf("%d snapshots: %v", len(metas), err)
	}
	if stateOf(t, s, metas[0].ID) != "thirty" || stateOf(t, s, metas[1].ID) != big {
		t.Error("a snapshot is not as it was written")
	}
	if metas[0].Size != 6 {
		t.Errorf("its size is %d", metas[0].Size)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// A cancelled snapshot leaves nothing.
func TestCancelledSnapshot(t *testing.T) {
	t.Parallel()
	s := openSnapshots(t, t.TempDir())
	_, trans := raft.NewInmemTransport("n1")
	defer trans.Close()
	sink, err := s.Create(raft.SnapshotVersionMax, 1, 1, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Cancel(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(s.dir); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// What a crash or damage can leave of log and snapshot: it joins, it is made to join without loss, or it is
// named.
func TestLogAndSnapshotMustJoin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		snapshot uint64 // of term 3; 0 for none
		log      []*raft.Log
		want     []*raft.Log
		named    bool
	}{
		{name: "nothing yet"},
		{name: "log alone", log: entries(1, 9), want: entries(1, 9)},
		{name: "log alone with its head gone", log: entries(4, 9), named: true},
		{name: "snapshot alone", snapshot: 5},
		{name: "they overlap", snapshot: 5, log: entries(2, 9), want: entries(2, 9)},
		{name: "they touch", snapshot: 5, log: entries(6, 9), want: entries(6, 9)},
		{name: "a gap", snapshot: 5, log: entries(7, 9), named: true},
		{name: "log behind: crash after a snapshot was installed", snapshot: 5, log: entries(1, 3)},
		{name: "log ends where the snapshot does", snapshot: 5, log: entries(1, 5), want: entries(1, 5)},
		{name: "log of another term: the same crash on a node that had gone astray", snapshot: 12, log: entries(1, 14)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := openLog(t, filepath.Join(dir, "log"), LogConfig{})
			defer closeLog(t, l)
			store(t, l, test.log)
			s := openSnapshots(t, dir)
			if test.snapshot > 0 {
				takeSnapshot(t, s, test.snapshot, 3, "state")
			}
			err := CheckSnapshots(s, l)
			if test.named {
				if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), dir) {
					t.Errorf("got %v, want it named", err)
				}
				holds(t, l, test.log)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			holds(t, l, test.want)
		})
	}
}
