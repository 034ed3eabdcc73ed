package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"

	"github.com/registrard/registrard/log/disk"
)

func (l *Log) listed() []types.SegmentInfo {
	l.segments.mu.Lock()
	defer l.segments.mu.Unlock()
	return append([]types.SegmentInfo(nil), l.segments.state.Segments...)
}

// flip changes one byte of a file.
func flip(path string, offset int64) error {
	return injury{change: func(b []byte) []byte {
		b[offset] ^= 0x10
		return b
	}}.hurt(path)
}

// errUnchanged says that an injury did nothing, as zeroing a page of zeros.
var errUnchanged = errors.New("unchanged")

// hurt changes a file as the injury says.
func (i injury) hurt(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before := string(content)
	after := i.change(content)
	if string(after) == before {
		return errUnchanged
	}
	return os.WriteFile(path, after, 0o600)
}

// injury is one thing that can happen to a file.
type injury struct {
	name   string
	change func([]byte) []byte
}

// injuries hurts a file of size bytes, of which used hold something: a byte flipped at every step-th place
// with another bit each time, cut to lengths, a page zeroed.
func injuries(size, used, step int) []injury {
	var list []injury
	for at := 0; at < used; at += step {
		list = append(list, injury{fmt.Sprintf("byte %d flipped", at), func(b []byte) []byte {
			b[at] ^= 1 << (at / step % 8)
			return b
		}})
	}
	for _, length := range []int{0, 1, used / 7, used / 2, used - 1, size - 1} {
		list = append(list, injury{fmt.Sprintf("cut to %d", length), func(b []byte) []byte { return b[:length] }})
	}
	for at := 0; at < used; at += 4096 {
		list = append(list, injury{fmt.Sprintf("page at %d zeroed", at), func(b []byte) []byte {
			clear(b[at:min(at+4096, len(b))])
			return b
		}})
	}
	return list
}

// restore makes the tree at to equal to the one at from, touching only what differs: making files is the
// slow part of these tests.
func restore(t *testing.T, from, to string) {
	t.Helper()
	walk := func(root string, visit func(rel string, d fs.DirEntry) error) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			rel, relErr := filepath.Rel(root, path)
			if err := errors.Join(err, relErr); err != nil || rel == "." {
				return err
			}
			return visit(rel, d)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(to, func(rel string, d fs.DirEntry) error {
		if _, err := os.Lstat(filepath.Join(from, rel)); err == nil {
			return nil
		}
		if err := os.RemoveAll(filepath.Join(to, rel)); err != nil || !d.IsDir() {
			return err
		}
		return fs.SkipDir
	})
	walk(from, func(rel string, d fs.DirEntry) error {
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		want, err := os.ReadFile(filepath.Join(from, rel))
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(to, rel)); err == nil && string(got) == string(want) {
			return nil
		}
		return os.WriteFile(filepath.Join(to, rel), want, 0o600)
	})
}

// used is how much of a file there is before the zeros at its end.
func used(t *testing.T, path string) (size, n int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(content), len(strings.TrimRight(string(content), "\x00"))
}

// outcomes counts, so that a test can show that its injuries were felt.
type outcomes struct{ named, harmless int }

// judge accepts an error that is disk.ErrDamaged and names something in dir, or intact data.
func (o *outcomes) judge(t *testing.T, what, dir string, err error, intact func() error) {
	t.Helper()
	switch {
	case errors.Is(err, disk.ErrDamaged) && strings.Contains(err.Error(), dir):
		o.named++
	case err != nil:
		t.Errorf("%s: %v, want damage and the file's name", what, err)
	default:
		if err := intact(); err != nil {
			t.Errorf("%s: opened without an error, but %v", what, err)
		}
		o.harmless++
	}
}

// Whatever happens to any one file of the log, opening names it or nothing is lost: every file, bytes
// flipped throughout, cut, zeroed, gone.
func TestDamagedLogIsNamedOrHarmless(t *testing.T) {
	t.Parallel()
	intact := t.TempDir()
	cfg := LogConfig{SegmentBytes: smallSegment, KeepAfter: func() uint64 { return 20 }}
	l := openLog(t, intact, cfg)
	list := entries(1, 110)
	store(t, l, list)
	if err := errors.Join(l.DeleteRange(1, 20), l.DeleteRange(105, 110)); err != nil {
		t.Fatal(err)
	}
	list = append(list[20:104:104], entries(105, 120)...)
	store(t, l, list[84:])
	closeLog(t, l)

	files, err := os.ReadDir(intact)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			t.Parallel()
			size, used := used(t, filepath.Join(intact, file.Name()))
			step := max(1, used/250)
			var o outcomes
			dir := t.TempDir()
			try := func(what string, hurt func(path string) error) {
				restore(t, intact, dir)
				if err := hurt(filepath.Join(dir, file.Name())); err == errUnchanged {
					return
				} else if err != nil {
					t.Fatal(err)
				}
				g := NewGuard(func(error) {})
				defer g.Close()
				cfg := cfg
				cfg.Guard = g
				l, err := OpenLog(dir, cfg)
				o.judge(t, what, dir, err, func() error { return errors.Join(same(l, list), l.Close()) })
			}
			try("removed", os.Remove)
			for _, injury := range injuries(size, used, step) {
				try(injury.name, injury.hurt)
			}
			if o.named == 0 {
				t.Error("nothing was noticed: is the file in use at all?")
			}
			t.Logf("%d named, %d harmless", o.named, o.harmless)
		})
	}
}

// Damage after opening is named when the entry is read, and breaks the guard.
func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	var reason error
	g := NewGuard(func(err error) { reason = err })
	defer g.Close()
	l := openLog(t, t.TempDir(), LogConfig{Guard: g})
	defer l.Close()
	store(t, l, entries(1, 10))
	file := l.segments.holding(1)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("?"), 32+8+10); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var e raft.Log
	if err := l.GetLog(1, &e); !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), file) {
		t.Errorf("read a damaged entry: %v", err)
	}
	if !errors.Is(reason, disk.ErrDamaged) {
		t.Errorf("the guard was told %v", reason)
	}
}

// Whatever happens to the vote file or its mark, opening names it or the vote is as it was.
func TestDamagedVoteIsNamedOrHarmless(t *testing.T) {
	t.Parallel()
	intact := t.TempDir()
	v := openVote(t, filepath.Join(intact, "vote"))
	cast(t, v, 7, "n2")
	closeVote(t, v)
	for _, name := range []string{"vote", "vote.mark"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size, _ := used(t, filepath.Join(intact, name))
			step := max(1, size/150)
			var o outcomes
			dir := t.TempDir()
			try := func(what string, hurt func(path string) error) {
				restore(t, intact, dir)
				if err := hurt(filepath.Join(dir, name)); err == errUnchanged {
					return
				} else if err != nil {
					t.Fatal(err)
				}
				g := NewGuard(func(error) {})
				defer g.Close()
				v, err := OpenVote(filepath.Join(dir, "vote"), g)
				o.judge(t, what, dir, err, func() error {
					if term, candidate := ballotOf(v); term != 7 || candidate != "n2" {
						return fmt.Errorf("the vote is for %q in term %d", candidate, term)
					}
					return v.Close()
				})
			}
			try("removed", os.Remove)
			for _, injury := range injuries(size, size, step) {
				try(injury.name, injury.hurt)
			}
			if o.harmless > 0 {
				t.Errorf("%d injuries went unnoticed; the whole file is summed", o.harmless)
			}
		})
	}
}

// Bad snapshots: the newest one's files hurt in every way. With the log back to the one before, the node
// goes on from there and the damaged one is set aside; without, it is named. Never a wrong state.
func TestDamagedSnapshotIsNamedOrHarmless(t *testing.T) {
	t.Parallel()
	for _, healable := range []bool{true, false} {
		intact := t.TempDir()
		s := openSnapshots(t, intact)
		takeSnapshot(t, s, 50, 5, "state at 50")
		newest := takeSnapshot(t, s, 100, 9, strings.Repeat("state at 100 ", 50))
		first := uint64(51)
		if !healable {
			first = 101
		}
		l := openLog(t, filepath.Join(intact, "log"), LogConfig{SegmentBytes: smallSegment})
		list := entries(first, 120)
		for _, e := range list {
			e.Term = 9
		}
		store(t, l, list)
		closeLog(t, l)
		for _, name := range []string{metaFile, stateFile} {
			t.Run(fmt.Sprintf("%s healable %v", name, healable), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join("snapshots", newest, name)
				size, _ := used(t, filepath.Join(intact, file))
				var o outcomes
				dir := t.TempDir()
				aside := 0
				try := func(what string, hurt func(path string) error) {
					restore(t, intact, dir)
					if err := hurt(filepath.Join(dir, file)); err == errUnchanged {
						return
					} else if err != nil {
						t.Fatal(err)
					}
					l := openLog(t, filepath.Join(dir, "log"), LogConfig{SegmentBytes: smallSegment})
					defer closeLog(t, l)
					s := openSnapshots(t, dir)
					err := CheckSnapshots(s, l)
					o.judge(t, what, dir, err, func() error {
						metas, err := s.List()
						if err != nil || len(metas) == 0 {
							return fmt.Errorf("no snapshots: %v", err)
						}
						if metas[0].Index == 50 {
							aside++
						}
						want := map[uint64]string{50: "state at 50", 100: strings.Repeat("state at 100 ", 50)}[metas[0].Index]
						if got := stateOf(t, s, metas[0].ID); got != want || want == "" {
							return fmt.Errorf("the newest snapshot, at %d, holds %q", metas[0].Index, got)
						}
						return same(l, list)
					})
				}
				try("removed", os.Remove)
				for _, injury := range injuries(size, size, max(1, size/150)) {
					try(injury.name, injury.hurt)
				}
				if healable && (o.named > 0 || aside == 0) {
					t.Errorf("%d named and %d set aside; all can be healed", o.named, aside)
				}
				if !healable && o.named == 0 {
					t.Error("nothing was noticed")
				}
			})
		}
	}
}

func stateOf(t *testing.T, s *Snapshots, id string) string {
	t.Helper()
	meta, r, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil || int64(len(content)) != meta.Size {
		t.Fatalf("%d bytes, meta says %d: %v", len(content), meta.Size, err)
	}
	return string(content)
}
