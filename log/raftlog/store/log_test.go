package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/registrard/registrard/log/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guard is one whose failing fails the test.
func guard(t *testing.T) *Guard {
	t.Helper()
	g := NewGuard(func(err error) { t.Errorf("a write failed: %v", err) })
	t.Cleanup(g.Close)
	return g
}

// entries makes entries from first to last, of sizes that differ.
func entries(first, last uint64) []*raft.Log {
	var list []*raft.Log
	for i := first; i <= last; i++ {
		list = append(list, &raft.Log{
			Index: i, Term: 3 + i/10, Type: raft.LogCommand,
			Data:       []byte(fmt.Sprintf("entry %d %s", i, strings.Repeat("x", int(i*37%300)))),
			AppendedAt: time.Unix(1700000000, int64(i)),
		})
	}
	return list
}

func openLog(t *testing.T, dir string, cfg LogConfig) *Log {
	t.Helper()
	if cfg.Guard == nil {
		cfg.Guard = guard(t)
	}
	l, err := OpenLog(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func store(t *testing.T, l *Log, list []*raft.Log) {
	t.Helper()
	for batch := range slices.Chunk(list, 3) {
		if err := l.StoreLogs(batch); err != nil {
			t.Fatal(err)
		}
	}
}

// same tells whether the log holds exactly list.
func same(l *Log, list []*raft.Log) error {
	first, last, err := l.bounds()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if first != 0 || last != 0 {
			return fmt.Errorf("the log goes from %d to %d, want it empty", first, last)
		}
		return nil
	}
	if first != list[0].Index || last != list[len(list)-1].Index {
		return fmt.Errorf("the log goes from %d to %d, want %d to %d", first, last, list[0].Index, list[len(list)-1].Index)
	}
	for _, want := range list {
		var got raft.Log
		if err := l.GetLog(want.Index, &got); err != nil {
			return err
		}
		if got.Term != want.Term || got.Type != want.Type || string(got.Data) != string(want.Data) ||
			string(got.Extensions) != string(want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
			return fmt.Errorf("entry %d is %+v, want %+v", want.Index, got, want)
		}
	}
	return nil
}

func holds(t *testing.T, l *Log, list []*raft.Log) {
	t.Helper()
	if err := same(l, list); err != nil {
		t.Fatal(err)
	}
}

const smallSegment = 8 << 10 // some forty entries

// What is stored is there after reopening, over several segments, and the caller's entries are untouched.
func TestEntriesSurviveReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := entries(1, 200)
	list[7].Extensions = []byte("of raft's own")
	l := openLog(t, dir, LogConfig{SegmentBytes: smallSegment})
	if !l.IsMonotonic() {
		t.Error("not monotonic")
	}
	holds(t, l, nil)
	store(t, l, list)
	holds(t, l, list)
	for range 3 {
		closeLog(t, l)
		l = openLog(t, dir, LogConfig{SegmentBytes: smallSegment})
		holds(t, l, list)
		next := entries(uint64(len(list))+1, uint64(len(list))+20)
		store(t, l, next)
		list = append(list, next...)
	}
	if string(list[7].Extensions) != "of raft's own" || list[8].Extensions != nil {
		t.Error("the caller's entries were changed")
	}
	var e raft.Log
	for _, index := range []uint64{0, uint64(len(list)) + 1} {
		if err := l.GetLog(index, &e); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	closeLog(t, l)
	segments, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	if len(segments) < 3 {
		t.Errorf("%d segments, want several", len(segments))
	}
	checkModes(t, dir)
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Truncation at either end, and of everything, leaves what it should and no false alarm at the next open.
func TestTruncation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		low, high uint64
		left      []*raft.Log
	}{
		{"tail", 80, 100, entries(1, 79)},
		{"tail and beyond", 95, 500, entries(1, 94)},
		{"head", 1, 30, entries(31, 100)},
		{"all", 1, 100, nil},
		{"all and beyond", 0, 1000, nil},
		{"nothing", 200, 300, entries(1, 100)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := LogConfig{SegmentBytes: smallSegment, KeepAfter: func() uint64 { return 1000 }}
			l := openLog(t, dir, cfg)
			store(t, l, entries(1, 100))
			if err := l.DeleteRange(test.low, test.high); err != nil {
				t.Fatal(err)
			}
			holds(t, l, test.left)
			closeLog(t, l)
			l = openLog(t, dir, cfg)
			holds(t, l, test.left)
			next := uint64(501)
			if n := len(test.left); n > 0 {
				next = test.left[n-1].Index + 1
			}
			store(t, l, entries(next, next+5))
			closeLog(t, l)
			l = openLog(t, dir, cfg)
			holds(t, l, append(test.left, entries(next, next+5)...))
			closeLog(t, l)
		})
	}
}

// Compaction leaves every entry after the snapshot before the last; emptying the log is not compaction.
func TestCompactionKeepsWhatTheOlderSnapshotNeeds(t *testing.T) {
	t.Parallel()
	var older uint64
	l := openLog(t, t.TempDir(), LogConfig{SegmentBytes: smallSegment, KeepAfter: func() uint64 { return older }})
	defer closeLog(t, l)
	store(t, l, entries(1, 100))
	for _, step := range []struct{ older, high, first uint64 }{{0, 50, 1}, {50, 90, 51}, {50, 95, 51}, {90, 95, 91}} {
		older = step.older
		if err := l.DeleteRange(1, step.high); err != nil {
			t.Fatal(err)
		}
		holds(t, l, entries(step.first, 100))
	}
	if err := l.DeleteRange(1, 100); err != nil {
		t.Fatal(err)
	}
	holds(t, l, nil)
}

// raft-wal seals a full segment and lists it as sealed in a second step. With the list as it was between
// the two, and the next segment not there yet, the log opens with every entry and goes on.
func TestCrashBetweenSealingAndListing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := LogConfig{SegmentBytes: smallSegment}
	l := openLog(t, dir, cfg)
	before, err := os.ReadFile(l.segments.path)
	if err != nil {
		t.Fatal(err)
	}
	list := entries(1, 100)
	stored := 0
	for len(l.listed()) == 1 {
		store(t, l, list[stored:stored+1])
		stored++
		// The next append waits for the rotation that this one may have started.
		if err := l.wal.DeleteRange(5000, 5001); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	second := l.listed()[1]
	if err := os.WriteFile(l.segments.path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.segments.file(second)); err != nil {
		t.Fatal(err)
	}

	l = openLog(t, dir, cfg)
	holds(t, l, list[:stored])
	store(t, l, list[stored:])
	closeLog(t, l)
	l = openLog(t, dir, cfg)
	holds(t, l, list)
	closeLog(t, l)
}

// A batch that sealed its segment and is torn was never acknowledged: it goes, and appending goes on.
func TestCrashWhileSealing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := LogConfig{SegmentBytes: smallSegment}
	l := openLog(t, dir, cfg)
	before, err := os.ReadFile(l.segments.path)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := entries(1, 10)
	store(t, l, acknowledged)
	torn := &raft.Log{Index: 11, Term: 9, Data: make([]byte, 2*smallSegment)}
	if err := l.StoreLogs([]*raft.Log{torn}); err != nil {
		t.Fatal(err)
	}
	if err := l.wal.DeleteRange(5000, 5001); err != nil { // waits for the rotation
		t.Fatal(err)
	}
	closeLog(t, l)
	files := l.listed()
	if err := errors.Join(
		os.WriteFile(l.segments.path, before, 0o600),
		disk.CreateMark(filepath.Join(dir, "high-water"), 10, 0),
		os.Remove(l.segments.file(files[1])),
		flip(l.segments.file(files[0]), smallSegment),
	); err != nil {
		t.Fatal(err)
	}

	l = openLog(t, dir, cfg)
	holds(t, l, acknowledged)
	more := entries(11, 60)
	store(t, l, more)
	closeLog(t, l)
	l = openLog(t, dir, cfg)
	holds(t, l, append(acknowledged, more...))
	closeLog(t, l)
}

// A second process cannot open the log, and is told so at once.
func TestLogIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, LogConfig{})
	defer closeLog(t, l)
	if _, err := OpenLog(dir, LogConfig{Guard: guard(t)}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
}

// An entry that could never be read again is refused, and breaks nothing.
func TestEntryTooLarge(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), LogConfig{})
	defer closeLog(t, l)
	if err := l.StoreLog(&raft.Log{Index: 1, Data: make([]byte, MaxEntry+1)}); err == nil {
		t.Error("stored")
	}
	store(t, l, entries(1, 3))
}
