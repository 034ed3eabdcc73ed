package zklog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/zklog/zktest"
)

func TestOffline(t *testing.T) {
	e := zktest.Start(t, 1)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *zktest.Ensemble)
	}{
		{"restore", restore},
		{"a crash while restoring", restoreCrash},
		{"two restores", restoreTwice},
		{"roots that are not empty", restoreRefused},
		{"credentials", restoreCredentials},
		{"a look at what goes on", visitRunning},
		{"a look by the directory", visitDirectory},
		{"a look where nothing is", visitNothing},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, e) })
	}
}

// visitor plays what it is shown to a machine, as a restart would.
type visitor struct {
	m         *logtest.Machine
	snapshots []uint64
	last      uint64
}

func (v *visitor) Snapshot(index uint64, newest bool, state io.Reader) error {
	v.snapshots, v.last = append(v.snapshots, index), index
	return v.m.Restore(state)
}

func (v *visitor) Entry(index, _ uint64, command []byte) error {
	if index <= v.last {
		return nil
	}
	v.last = index
	_, err := v.m.Apply(index, command)
	return err
}

const restoredIndex = 1_000_000_007

// state is a snapshot of several parts.
func state(t *testing.T) (io.WriterTo, []logtest.Entry) {
	t.Helper()
	m := logtest.NewMachine()
	for i := range 3 {
		if _, err := m.Apply(restoredIndex-2+uint64(i), []byte(large(fmt.Sprintf("s%d-", i)))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s, m.Entries()
}

// shows visits a root and compares.
func shows(ctx context.Context, t *testing.T, cfg Config, cluster string, want []logtest.Entry) {
	t.Helper()
	v := &visitor{m: logtest.NewMachine()}
	stored, err := Visit(ctx, cfg, v)
	if err != nil || stored.Cluster != cluster || !slices.Equal(v.m.Entries(), want) {
		t.Errorf("visit: cluster %s, %d entries, %v; want %s, %d", stored.Cluster, len(v.m.Entries()), err, cluster, len(want))
	}
}

// says wants one line with some words in it.
func says(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want one line with %q", err, words)
	}
}

func restore(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	cfg.Dir = t.TempDir()
	snapshot, want := state(t)
	cluster, err := Restore(ctx, cfg, restoredIndex, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	shows(ctx, t, cfg, cluster, want)
	if s := look(ctx, t, cfg); s.noLog("").Error() != cfg.Root+" " {
		t.Error("the mark of an unfinished restore is left")
	}

	l, m := lead(ctx, t, cfg)
	if l.Status().Cluster != cluster || !slices.Equal(m.Entries(), want) {
		t.Errorf("a member is of %s, with %d entries", l.Status().Cluster, len(m.Entries()))
	}
	r, err := l.Propose(ctx, []byte("next"))
	if err != nil || r.Index != restoredIndex+1 {
		t.Errorf("the next command is at %d: %v", r.Index, err)
	}
	want = m.Entries()
	_, err = Restore(ctx, cfg, restoredIndex, snapshot)
	says(t, err, "in use")
	cfg.Dir = ""
	_, err = Restore(ctx, cfg, restoredIndex, snapshot)
	says(t, err, cfg.Root+" holds the log of cluster "+cluster)
	shows(ctx, t, cfg, cluster, want)
}

// Restore is killed between its parts, before its last request, and after that. Before, no member takes what is there
// for a log, and restoring again makes a whole one; after, it is whole.
func restoreCrash(t *testing.T, e *zktest.Ensemble) {
	for _, c := range []struct {
		name  string
		op    int32
		names string
		done  bool
	}{
		{"before the root is claimed", opMulti, "/restoring", false},
		{"after the root was claimed", opMulti, "/restoring", true},
		{"half of the parts", opCreate, "/00000002", false},
		{"all parts", opMulti, "/identity", false},
		{"the answer is lost", opMulti, "/identity", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cfg := patientConfig(t, e, "n1")
			snapshot, want := state(t)
			wire := newTripwire(t, e.Addresses()[0])
			wire.arm(c.op, c.names, c.done)
			through := cfg
			through.Servers = []string{wire.addr}
			killed, kill := context.WithCancel(ctx)
			failed := make(chan error, 1)
			go func() {
				_, err := Restore(killed, through, restoredIndex, snapshot)
				failed <- err
			}()
			select {
			case <-wire.broken:
			case err := <-failed:
				t.Fatal("the request was never made: ", err)
			}
			kill()
			if err := <-failed; err == nil {
				t.Error("a restore that was killed says that it is done")
			}
			whole := c.names == "/identity" && c.done
			nothing := c.names == "/restoring" && !c.done
			if !whole && !nothing {
				_, err := testOpen(t, cfg, logtest.NewMachine())
				says(t, err, "restore that is not finished")
				_, err = Visit(ctx, cfg, &visitor{m: logtest.NewMachine()})
				says(t, err, "restore that is not finished")
			}
			_, err := Restore(ctx, cfg, restoredIndex, snapshot)
			if whole {
				says(t, err, "nothing is overwritten")
			} else if err != nil {
				t.Fatal(err)
			}
			if left := blobs(t, look(ctx, t, cfg)); len(left) != 1 {
				t.Errorf("there are %q", left)
			}
			_, m := lead(ctx, t, cfg)
			if !slices.Equal(m.Entries(), want) {
				t.Errorf("a member has %d entries, want %d", len(m.Entries()), len(want))
			}
		})
	}
}

// paused is a state that is written once it may.
type paused struct {
	state   io.WriterTo
	begun   chan struct{}
	mayGoOn chan struct{}
}

func (p paused) WriteTo(w io.Writer) (int64, error) {
	close(p.begun)
	<-p.mayGoOn
	return p.state.WriteTo(w)
}

// Of two restores into one root the later one counts, and the earlier one is told.
func restoreTwice(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, second := range []bool{true, false} {
		cfg := patientConfig(t, e, "n1")
		snapshot, want := state(t)
		slow := paused{snapshot, make(chan struct{}), make(chan struct{})}
		first := make(chan error, 1)
		go func() {
			_, err := Restore(ctx, cfg, restoredIndex, slow)
			first <- err
		}()
		select {
		case <-slow.begun:
		case err := <-first:
			t.Fatal(err)
		}
		if !second { // another has begun, and was not finished
			s := look(ctx, t, cfg)
			if _, err := s.claimRoot(); err != nil {
				t.Fatal(err)
			}
			close(slow.mayGoOn)
			says(t, <-first, "another restore")
			continue
		}
		cluster, err := Restore(ctx, cfg, restoredIndex, snapshot)
		close(slow.mayGoOn)
		if err != nil {
			t.Fatal(err)
		}
		says(t, <-first, "another restore")
		shows(ctx, t, cfg, cluster, want)
	}
}

func restoreRefused(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	snapshot, _ := state(t)
	cfg := patientConfig(t, e, "n1")
	s := look(ctx, t, cfg)
	if err := s.makeRoot(); err != nil {
		t.Fatal(err)
	}
	if err := s.put(blobsNode, []byte("somebody else's")); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(ctx, cfg, restoredIndex, snapshot)
	says(t, err, "is not empty: it holds blobs")
	if names, err := s.list(blobsNode); err != nil || len(names) != 0 {
		t.Errorf("it was changed: %q, %v", names, err)
	}
	cfg = patientConfig(t, e, "n1")
	cfg.Dir = t.TempDir()
	l, _ := lead(ctx, t, cfg)
	_ = l.Close()
	_, err = Restore(ctx, patientConfig(t, e, "n1"), restoredIndex, snapshot) // another root, so that only the directory is not empty
	if err != nil {
		t.Error(err)
	}
	_, err = Restore(ctx, cfg, restoredIndex, snapshot)
	says(t, err, "is not empty")
}

func restoreCredentials(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	cfg.Root = "/credentials" + cfg.Root // what is above a root is made with it, and then is its owner's
	cfg.Auth = "registrard:right"
	snapshot, want := state(t)
	cluster, err := Restore(ctx, cfg, restoredIndex, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	shows(ctx, t, cfg, cluster, want)
	cfg.Auth = "registrard:wrong"
	_, err = Restore(ctx, cfg, restoredIndex, snapshot)
	says(t, err, "does not let")
	_, err = Visit(ctx, cfg, &visitor{m: logtest.NewMachine()})
	says(t, err, "does not let")

	cfg = patientConfig(t, e, "n1")
	cfg.Root = "/readable" + cfg.Root
	cfg.Auth, cfg.WorldReadable = "registrard:right", true
	if cluster, err = Restore(ctx, cfg, restoredIndex, snapshot); err != nil {
		t.Fatal(err)
	}
	cfg.Auth, cfg.WorldReadable = "", false
	shows(ctx, t, cfg, cluster, want)
}

// Whoever looks at a root while its leader writes, takes snapshots and drops entries sees it as it was at some moment.
func visitRunning(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	l, m := lead(ctx, t, cfg)
	looked := make(chan struct{})
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for i := 0; ; i++ {
			select {
			case <-looked:
				return
			default:
			}
			if _, err := l.Propose(ctx, bytes.Repeat([]byte{'a' + byte(i%26)}, 1000)); err != nil {
				t.Error(err)
				return
			}
			if i%40 == 39 {
				if err := l.Snapshot(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	var seen [][]logtest.Entry
	for len(seen) < 10 {
		v := &visitor{m: logtest.NewMachine()}
		if _, err := Visit(ctx, cfg, v); err != nil && !strings.Contains(err.Error(), "cut twice") {
			t.Error(err)
			break
		} else if err == nil {
			seen = append(seen, v.m.Entries())
		}
	}
	close(looked)
	<-wrote
	all := m.Entries()
	for _, entries := range seen {
		if len(entries) > len(all) || !slices.Equal(entries, all[:len(entries)]) {
			t.Errorf("%d entries were seen that are not how the log began", len(entries))
		}
	}
}

func visitDirectory(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	cfg.Dir = t.TempDir()
	l, m := lead(ctx, t, cfg)
	propose(ctx, t, l, "one")
	stored, err := Visit(ctx, Config{Dir: cfg.Dir}, &visitor{m: logtest.NewMachine()})
	if err != nil || stored.Node != "n1" || stored.Cluster != l.Status().Cluster || stored.Backend != backend {
		t.Errorf("%+v, %v", stored, err)
	}
	shows(ctx, t, Config{Dir: cfg.Dir}, stored.Cluster, m.Entries())

	other := patientConfig(t, e, "n1")
	lead(ctx, t, other)
	other.Dir = cfg.Dir
	_, err = Visit(ctx, other, &visitor{m: logtest.NewMachine()})
	says(t, err, "is of cluster")

	// The ensemble is named otherwise than the time before.
	_ = l.Close()
	cfg.Servers = append(cfg.Servers, cfg.Servers...)
	lead(ctx, t, cfg)
	if kept, err := readMembership(cfg.Dir); err != nil || !slices.Equal(kept.Servers, cfg.Servers) {
		t.Errorf("%+v, %v", kept, err)
	}
}

func visitNothing(t *testing.T, e *zktest.Ensemble) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "")
	_, err := Visit(ctx, cfg, &visitor{m: logtest.NewMachine()})
	says(t, err, cfg.Root+" holds no log")
	cfg.Servers = []string{"127.0.0.1:1"}
	gone := errors.New("nobody waits any more")
	brief, end := context.WithCancelCause(ctx)
	end(gone)
	if _, err := Visit(brief, cfg, &visitor{m: logtest.NewMachine()}); !errors.Is(err, gone) {
		t.Errorf("an ensemble that nobody can reach: %v", err)
	}
}
