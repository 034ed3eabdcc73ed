package zklog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/zklog/zktest"
)

// large is a command of two parts.
func large(name string) string { return name + strings.Repeat("x", partBytes) }

// What is over ZooKeeper's limit for one node is kept in parts.
func TestParts(t *testing.T) {
	e := zktest.Start(t, 1)
	t.Run("crash", func(t *testing.T) {
		for _, c := range partCrashes {
			t.Run(c.name, func(t *testing.T) { t.Parallel(); partCrash(t, e, c) })
		}
	})
	t.Run("damage", func(t *testing.T) {
		for _, d := range partDamages {
			t.Run(d.name, func(t *testing.T) { partDamage(t, e, d) })
		}
	})
}

type partCrashCase struct {
	name     string
	snapshot bool   // it is one that is written, and a command otherwise
	op       int32  // the request at which the leader is killed
	names    string // what is in it
	done     bool   // the server does it, and the leader never knows
}

var partCrashes = []partCrashCase{
	{"half of a command's parts", false, opCreate, "/00000001", false},
	{"a command's parts without the entry", false, opMulti, "/head", false},
	{"a command whose answer is lost", false, opMulti, "/head", true},
	{"half of a snapshot's parts", true, opCreate, "/00000001", false},
	{"a snapshot's parts without the head", true, opMulti, "/head", false},
	{"a snapshot whose answer is lost", true, opMulti, "/head", true},
}

// A leader is killed while it writes parts, between them and the request that makes them count, or after that. The next
// one has all of the command or snapshot, or nothing: not even its parts.
func partCrash(t *testing.T, e *zktest.Ensemble, c partCrashCase) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	wire := newTripwire(t, e.Addresses()[0])
	through := cfg
	through.Servers = []string{wire.addr}
	first, m := lead(ctx, t, through)
	propose(ctx, t, first, large("before-"))
	wire.arm(c.op, c.names, c.done)
	failed := make(chan error, 1)
	go func() {
		if c.snapshot {
			failed <- first.Snapshot(ctx)
			return
		}
		_, err := first.Propose(ctx, []byte(large("crash-")))
		failed <- err
	}()
	select {
	case <-wire.broken:
	case <-ctx.Done():
		t.Fatal("the request was never made")
	}
	first.crash()
	switch err := <-failed; {
	case err == nil:
		t.Error("it was acknowledged by a leader that was killed before")
	case c.done && !c.snapshot && !errors.Is(err, log.ErrUncertain):
		t.Errorf("it happened, and its caller was told: %v", err)
	}
	s := look(ctx, t, cfg)
	if left := blobs(t, s); len(left) != 2 {
		t.Fatalf("the crash has left %q", left)
	}
	if err := s.remove(candidate(candidateOf(first))); err != nil { // as when its session expires, only sooner
		t.Fatal(err)
	}

	cfg.ID = "n2"
	second, m2 := lead(ctx, t, cfg)
	want := m.Entries()
	if c.done && !c.snapshot {
		want = append(want, logtest.Entry{Index: 2, Command: large("crash-")})
	}
	if !slices.Equal(m2.Entries(), want) {
		t.Errorf("the next leader has %d entries, want %d", len(m2.Entries()), len(want))
	}
	if read := m2.Restored() > 0; read != (c.snapshot && c.done) {
		t.Errorf("the next leader has read a snapshot: %t", read)
	}
	wanted := 1 // of the first command, also beside a snapshot: members that are a little behind need it
	if c.done {
		wanted = 2
	}
	if left := blobs(t, s); len(left) != wanted {
		t.Errorf("the next leader has left %q", left)
	}
	propose(ctx, t, second, large("after-"))
	if err := second.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	cfg.ID = "n3"
	third, err := testOpen(t, cfg, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	_ = second.Close()
	if _, err := third.Lead(ctx); err != nil {
		t.Fatal(err)
	}
	if got := third.machine.(*logtest.Machine).Entries(); !slices.Equal(got, m2.Entries()) {
		t.Errorf("a third member has %d entries, want %d", len(got), len(m2.Entries()))
	}
}

type partDamageCase struct {
	name string
	snap int                                                  // snapshots that are taken before
	hurt func(s *session, h head) (damaged string, err error) // below the root
}

// ofEntry and ofSnapshot are the blobs of the first entry and of the snapshot that counts.
func ofEntry(s *session, _ head) (string, error) {
	e, err := s.readEntry(1)
	return e.blob().Name, err
}

func ofSnapshot(_ *session, h head) (string, error) { return h.Snapshot.Name, nil }

// part changes part 1 of a blob.
func part(of func(*session, head) (string, error), change func(s *session, blob string, content []byte) ([]byte, error)) func(*session, head) (string, error) {
	return func(s *session, h head) (string, error) {
		blob, err := of(s, h)
		if err != nil {
			return "", err
		}
		return node(func(s *session, content []byte) ([]byte, error) { return change(s, blob, content) }, partNode(blob, 1))(s, h)
	}
}

// node changes a node, or removes it where it is to have no content.
func node(change func(s *session, content []byte) ([]byte, error), name string) func(*session, head) (string, error) {
	return func(s *session, _ head) (string, error) {
		content, _, err := s.get(name)
		if err == nil {
			content, err = change(s, content)
		}
		switch {
		case err != nil:
		case content == nil:
			err = s.remove(name)
		default:
			_, err = s.conn.Set(s.path(name), content, -1)
		}
		return name, err
	}
}

func lose(*session, []byte) ([]byte, error) { return nil, nil }

func flip(_ *session, content []byte) ([]byte, error) {
	content[len(content)/2] ^= 1
	return content, nil
}

func gone(_ *session, _ string, _ []byte) ([]byte, error)          { return nil, nil }
func flipped(s *session, _ string, content []byte) ([]byte, error) { return flip(s, content) }
func shortened(_ *session, _ string, content []byte) ([]byte, error) {
	return content[:len(content)-1], nil
}
func emptied(_ *session, _ string, _ []byte) ([]byte, error) { return []byte{}, nil }

// anothers is what belongs in another place of the same blob, whole as it is.
func anothers(s *session, blob string, _ []byte) ([]byte, error) {
	content, _, err := s.get(partNode(blob, 0))
	return content, err
}

var partDamages = []partDamageCase{
	{"a lost part of an entry", 0, part(ofEntry, gone)},
	{"a flipped part of an entry", 0, part(ofEntry, flipped)},
	{"a cut part of an entry", 0, part(ofEntry, shortened)},
	{"an empty part of an entry", 0, part(ofEntry, emptied)},
	{"another part of an entry", 0, part(ofEntry, anothers)},
	{"a lost part of a snapshot", 1, part(ofSnapshot, gone)},
	{"a lost part of a snapshot, and no entries from the beginning", 2, part(ofSnapshot, gone)},
	{"a flipped part of a snapshot", 1, part(ofSnapshot, flipped)},
	{"a cut part of a snapshot", 2, part(ofSnapshot, shortened)},
	{"an empty part of a snapshot", 1, part(ofSnapshot, emptied)},
	{"another part of a snapshot", 2, part(ofSnapshot, anothers)},
	{"a lost entry", 0, node(lose, entryNode(2))},
	{"a flipped entry", 0, node(flip, entryNode(2))},
	{"a lost head", 0, node(lose, headNode)},
	{"a flipped head", 0, node(flip, headNode)},
	{"a flipped identity", 0, node(flip, identityNode)},
}

// Whatever is lost or hurt is named, by a member that starts and by who only looks, and no member goes on with the rest.
func partDamage(t *testing.T, e *zktest.Ensemble, d partDamageCase) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := patientConfig(t, e, "n1")
	l, _ := lead(ctx, t, cfg)
	for i := range 1 + max(1, d.snap) {
		propose(ctx, t, l, large(fmt.Sprintf("c%d-", i)))
		if i < d.snap {
			if err := l.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := look(ctx, t, cfg)
	h, _, err := s.head()
	if err != nil {
		t.Fatal(err)
	}
	damaged, err := d.hurt(s, h)
	if err != nil {
		t.Fatal(err)
	}
	damaged = s.path(damaged)
	_, err = Visit(ctx, cfg, &visitor{m: logtest.NewMachine()})
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), damaged) {
		t.Errorf("who looks at a damaged %s is told: %v", damaged, err)
	}
	l, err = testOpen(t, cfg, logtest.NewMachine())
	if err == nil {
		defer l.Close()
		select {
		case <-l.Done():
			err = l.Err()
		case <-ctx.Done():
			t.Fatal("a member goes on with what is damaged")
		}
	}
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), damaged) {
		t.Errorf("a member with a damaged %s says: %v", damaged, err)
	}
}

// patientConfig is for tests in which no session has to expire: a busy machine must end none.
func patientConfig(t *testing.T, e *zktest.Ensemble, id string) Config {
	cfg := config(t, e, id)
	cfg.SessionTimeout = 20 * zktest.Tick
	return cfg
}

// lead opens a Log and waits until it leads.
func lead(ctx context.Context, t *testing.T, cfg Config) (*Log[result], *logtest.Machine) {
	t.Helper()
	m := logtest.NewMachine()
	l, err := testOpen(t, cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if _, err := l.Lead(ctx); err != nil {
		t.Fatal(err)
	}
	return l, m
}

func propose(ctx context.Context, t *testing.T, l *Log[result], command string) {
	t.Helper()
	if _, err := l.Propose(ctx, []byte(command)); err != nil {
		t.Fatal(err)
	}
}

// look is a session to look at a root, and to hurt it.
func look(ctx context.Context, t *testing.T, cfg Config) *session {
	t.Helper()
	s, err := connect(ctx, cfg.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finish(nil) })
	return s
}

// blobs are the names of those below a root.
func blobs(t *testing.T, s *session) []string {
	t.Helper()
	names, err := s.list(blobsNode)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
