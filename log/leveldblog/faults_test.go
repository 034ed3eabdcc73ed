package leveldblog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/log/logtest"
)

type result = logtest.Result

const childVariable = "LEVELDBLOG_CHILD"

// The test binary is also the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		propose(dir)
		return
	}
	os.Exit(m.Run())
}

// propose proposes for ever, with a snapshot now and then, and prints what was acknowledged.
func propose(dir string) {
	l, err := Open(Config{ID: "n1", Dir: dir, SnapshotBytes: 2000}, logtest.NewMachine())
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		command := fmt.Sprintf("%d-%06d", os.Getpid(), i)
		if _, err := l.Propose(context.Background(), []byte(command)); err != nil {
			fmt.Println("propose:", err)
			os.Exit(1)
		}
		fmt.Println(command)
	}
}

// A process is killed with SIGKILL again and again, wherever it is: all that it acknowledged is there, once, and in
// order.
func TestKilledAtAnyPoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var acknowledged []string
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if strings.Contains(lines.Text(), ":") {
				t.Fatal(lines.Text())
			}
			acknowledged = append(acknowledged, lines.Text())
			if n == 3+round*17 { // and what it writes until the signal arrives
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	m := logtest.NewMachine()
	l, err := Open(Config{ID: "n1", Dir: dir}, m)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := commands(m)
	at := 0
	for _, command := range acknowledged {
		i := slices.Index(got[at:], command)
		if i < 0 {
			t.Fatalf("%s was acknowledged and is not there, or not in its place", command)
		}
		at += i + 1
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != len(m.Entries()) {
		t.Error("a command is there twice")
	}
	t.Logf("%d acknowledged, %d there", len(acknowledged), len(m.Entries()))
}

func commands(m *logtest.Machine) (list []string) {
	for _, e := range m.Entries() {
		list = append(list, e.Command)
	}
	return list
}

var errBroken = errors.New("the disk broke as the test asked")

// breaking is LevelDB's files on a disk that breaks at one of its writes, renames or syncs, for good. What it was
// writing then arrives in part.
type breaking struct {
	storage.Storage
	left atomic.Int64 // steps until it breaks
}

func (b *breaking) step() error {
	if b.left.Add(-1) < 0 {
		return errBroken
	}
	return nil
}

func (b *breaking) Create(fd storage.FileDesc) (storage.Writer, error) {
	if err := b.step(); err != nil {
		return nil, err
	}
	w, err := b.Storage.Create(fd)
	return &breakingWriter{w, b}, err
}

func (b *breaking) SetMeta(fd storage.FileDesc) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Storage.SetMeta(fd)
}

func (b *breaking) Remove(fd storage.FileDesc) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Storage.Remove(fd)
}

type breakingWriter struct {
	storage.Writer
	of *breaking
}

func (w *breakingWriter) Write(p []byte) (int, error) {
	if err := w.of.step(); err != nil {
		n, _ := w.Writer.Write(p[:len(p)/2])
		return n, err
	}
	return w.Writer.Write(p)
}

func (w *breakingWriter) Sync() error {
	if err := w.of.step(); err != nil {
		return err
	}
	return w.Writer.Sync()
}

// The disk breaks at each step in turn. Whatever was acknowledged is there afterwards, a "no" never is, and a "perhaps"
// at most once; the log says that it halted, and goes on once the disk is good again.
func TestDiskBreaksAtEveryStep(t *testing.T) {
	for step, whole := int64(0), false; !whole; step++ {
		dir := t.TempDir()
		said := map[string]error{}
		whole = run(t, dir, step, said)
		m := logtest.NewMachine()
		l, err := Open(Config{ID: "n1", Dir: dir}, m)
		if err != nil {
			t.Fatalf("step %d: open again: %v", step, err)
		}
		times := map[string]int{}
		for _, command := range commands(m) {
			times[command]++
		}
		for command, err := range said {
			switch {
			case times[command] > 1,
				err == nil && times[command] != 1,
				err != nil && !errors.Is(err, log.ErrUncertain) && times[command] != 0:
				t.Errorf("step %d: %s was answered with %v and is there %d times", step, command, err, times[command])
			}
		}
		if _, err := l.Propose(t.Context(), []byte("after")); err != nil {
			t.Errorf("step %d: on a good disk: %v", step, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
	}
}

// run proposes on a disk that breaks, and tells whether all went well to the end.
func run(t *testing.T, dir string, step int64, said map[string]error) (whole bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, databaseName), 0o700); err != nil {
		t.Fatal(err)
	}
	id := identity{Format: identityFormat, Log: backend, Node: "n1", Cluster: "c"}
	if err := id.write(dir); err != nil {
		t.Fatal(err)
	}
	files, err := storage.OpenFile(filepath.Join(dir, databaseName), false)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	under := &breaking{Storage: files}
	under.left.Store(step)
	l, err := open(Config{ID: "n1", Dir: dir, SnapshotBytes: 200}, logtest.NewMachine(), under)
	if err != nil {
		if !strings.Contains(err.Error(), errBroken.Error()) { // LevelDB does not wrap it everywhere
			t.Errorf("step %d: open: %v", step, err)
		}
		return false
	}
	for i := range 20 {
		command := fmt.Sprint("command-", i, "-", strings.Repeat("x", 20))
		_, err := l.Propose(t.Context(), []byte(command))
		said[command] = err
		if i%7 == 6 {
			_ = l.Snapshot(t.Context())
		}
	}
	halted := l.Err()
	if halted != nil && (!errors.Is(halted, log.ErrHalted) || !strings.Contains(halted.Error(), errBroken.Error())) {
		t.Errorf("step %d: halted because of %v", step, halted)
	}
	closed := l.Close()
	return halted == nil && closed == nil && under.left.Load() > 0
}

// A full disk halts the log; with room again it goes on where it was.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	l, err := Open(Config{ID: "n1", Dir: dir, SnapshotBytes: 1 << 30}, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := 0; ; i++ {
		command := fmt.Sprint(i, strings.Repeat("-", 10_000))
		if _, err = l.Propose(t.Context(), []byte(command)); err != nil {
			break
		}
		want = append(want, command)
	}
	if !errors.Is(err, log.ErrUncertain) || !errors.Is(l.Err(), syscall.ENOSPC) {
		t.Errorf("answered %v, halted because of %v", err, l.Err())
	}
	_ = l.Close()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	m := logtest.NewMachine()
	if l, err = Open(Config{ID: "n1", Dir: dir}, m); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := commands(m); len(got) < len(want) || len(got) > len(want)+1 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%d commands are there, %d were acknowledged", len(got), len(want))
	}
}

// Every byte of every file is hurt in turn, and every file shortened and lost: what was acknowledged is there, or the
// log does not open and names a file.
func TestDamageIsNamed(t *testing.T) {
	original := t.TempDir()
	m := logtest.NewMachine()
	l, err := Open(Config{ID: "n1", Dir: original}, m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if _, err := l.Propose(t.Context(), []byte(fmt.Sprint("command-", i))); err != nil {
			t.Fatal(err)
		}
		if i == 5 {
			if err := l.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := m.Entries()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	opened, refused := 0, 0
	try := func(what, file string, hurt func(path string) error) {
		t.Helper()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(original)); err != nil {
			t.Fatal(err)
		}
		if err := hurt(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		m := logtest.NewMachine()
		l, err := Open(Config{ID: "n1", Dir: dir}, m)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%s of %s: no file is named: %v", what, file, err)
			}
			return
		}
		opened++
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(m.Entries(), want) {
			t.Errorf("%s of %s: %d entries, want %d, and nobody said so", what, file, len(m.Entries()), len(want))
		}
	}
	err = filepath.WalkDir(original, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, _ := filepath.Rel(original, path)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if d.Name() == "LOG" { // LevelDB's diary, which nobody reads
			return nil
		}
		stride := max(len(content)/60, 1)
		for at := 0; at < len(content); at += stride {
			try(fmt.Sprintf("bit %d of byte %d", at%8, at), file, func(path string) error {
				hurt := slices.Clone(content)
				hurt[at] ^= 1 << (at % 8)
				return os.WriteFile(path, hurt, 0o600)
			})
		}
		try("half", file, func(path string) error { return os.Truncate(path, int64(len(content)/2)) })
		try("the loss", file, os.Remove)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if opened == 0 || refused == 0 {
		t.Errorf("opened %d times, refused %d times", opened, refused)
	}
	t.Logf("opened whole %d times, refused %d times", opened, refused)
}

// A directory is of one node and one kind, and of one process at a time.
func TestWhoseDirectory(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{ID: "n1", Dir: dir}, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{ID: "n1", Dir: dir}, logtest.NewMachine()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second process: %v", err)
	}
	cluster := l.Status().Cluster
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{ID: "n2", Dir: dir}, logtest.NewMachine()); err == nil || !strings.Contains(err.Error(), `belongs to node "n1"`) {
		t.Errorf("another node: %v", err)
	}
	if l, err = Open(Config{ID: "n1", Dir: dir}, logtest.NewMachine()); err != nil || l.Status().Cluster != cluster {
		t.Fatalf("the same again: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, databaseName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{ID: "n1", Dir: dir}, logtest.NewMachine()); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("an emptied directory: %v", err)
	}
	other := t.TempDir()
	if err := disk.WriteDocument(filepath.Join(other, identityName), map[string]any{"format": 1, "node_id": "n1", "nonce": "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{ID: "n1", Dir: other}, logtest.NewMachine()); err == nil || !strings.Contains(err.Error(), "another kind of log") {
		t.Errorf("a raft log: %v", err)
	}
}

// Snapshots are taken as the log grows and let the entries behind them go; a machine that cannot give one is an alarm
// and no more.
func TestSnapshotsKeepTheLogShort(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{ID: "n1", Dir: dir, SnapshotBytes: 1000}, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := l.Propose(t.Context(), []byte(fmt.Sprint(strings.Repeat("y", 50), i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(dir, snapshotsName))
	if err != nil || len(files) != 1 {
		t.Errorf("%d snapshots, %v", len(files), err)
	}
	m := logtest.NewMachine()
	started := time.Now()
	if l, err = Open(Config{ID: "n1", Dir: dir}, m); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.store.snapshot.Index == 0 || len(m.Entries()) != 200 {
		t.Errorf("snapshot at %d, %d entries", l.store.snapshot.Index, len(m.Entries()))
	}
	t.Logf("opened in %s, snapshot at %d of 200", time.Since(started), l.store.snapshot.Index)
}
