package raftlog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// refused opens a member with a changed configuration and expects a refusal: one line that
// contains all of want.
func (c *cluster) refused(id string, change func(*raftlog.Config), want ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg, peer := c.config(id)
	change(&cfg)
	m, err := c.try(ctx, cfg, peer, logtest.NewMachine())
	if err == nil {
		m.Close()
		c.t.Fatalf("%s was opened", id)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			c.t.Errorf("%s was refused with %q, which does not say %q", id, err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		c.t.Errorf("%s was refused with more than one line: %q", id, err)
	}
}

func same(*raftlog.Config) {}

// All members stop and start with the flags that founded the cluster: same cluster, same commands.
func TestRestartWithTheSameFlagsRestarts(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	id := c.leader().Status().Cluster
	index := c.propose("kept")
	c.agree(index)
	c.stopAll()
	c.startAll()
	if got := c.leader().Status().Cluster; got != id {
		t.Errorf("the cluster was %s and is %s", id, got)
	}
	if got := c.agree(c.propose("more")); !slices.Equal(got, []string{"kept", "more"}) {
		t.Errorf("the members hold %q", got)
	}
}

// Founders come minutes apart, in the end: nobody founds alone, and each says for whom it waits.
func TestFoundersThatStartApartFindEachOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		opening sync.WaitGroup
		mu      sync.Mutex
	)
	open := func(id string) {
		cfg, peer := c.config(id)
		opening.Go(func() {
			m, err := c.try(ctx, cfg, peer, logtest.NewMachine())
			if err != nil {
				t.Errorf("open %s: %v", id, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			c.members[id] = m
		})
	}
	// A visitor sees each founder wait, and only then lets the next one start.
	visitor, err := transport.Listen(transport.Config{ID: "visitor", Listen: listen(t, "127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer visitor.Close()
	for _, id := range []string{"n3", "n1"} {
		open(id)
		eventually(t, id+" waits, empty", func() bool {
			h, err := visitor.Hello(ctx, id, c.initial[id])
			return err == nil && h.Empty && h.Cluster == "" && len(h.Members) == 3
		})
	}
	mu.Lock()
	if len(c.members) > 0 {
		t.Error("a cluster of three was founded by two")
	}
	mu.Unlock()
	open("n2")
	opening.Wait()
	if got := c.agree(c.propose("first")); !slices.Equal(got, []string{"first"}) {
		t.Errorf("the members hold %q", got)
	}
}

// A founder that waits in vain says for whom.
func TestFoundingNamesWhoIsMissing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2")
	cfg, peer := c.config("n1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := c.try(ctx, cfg, peer, logtest.NewMachine())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "n2 at "+c.initial["n2"]) {
		t.Errorf("got %v, want the deadline and who is missing", err)
	}
}

// Founders that were given different lists never found.
func TestFoundersMustAgreeOnTheList(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var opening sync.WaitGroup
	for _, id := range []string{"n1", "n2"} {
		cfg, peer := c.config(id)
		if id == "n2" {
			cfg.InitialMembers["n3"] = "127.0.0.1:1"
		}
		opening.Go(func() {
			if m, err := c.try(ctx, cfg, peer, logtest.NewMachine()); err == nil {
				m.Close()
				t.Errorf("%s founded a cluster", id)
			} else if !strings.Contains(err.Error(), "other initial members") {
				t.Errorf("%s was refused with %v", id, err)
			}
		})
	}
	opening.Wait()
}

// A directory is refused to anyone but the member and the cluster that it belongs to.
func TestForeignDirectoriesAreRefused(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1")
	c.propose("mine")
	other := runCluster(t, "m1")

	t.Run("in use", func(t *testing.T) {
		c.refused("n1x", func(cfg *raftlog.Config) {
			cfg.ID, cfg.Dir = "n1", c.dirOf("n1")
			cfg.InitialMembers = nil
		}, "in use by another process")
	})
	c.stop("n1")
	t.Run("another member", func(t *testing.T) {
		c.refused("n2", func(cfg *raftlog.Config) {
			cfg.Dir = c.dirOf("n1")
			cfg.InitialMembers = map[string]string{"n2": "127.0.0.1:1"}
		}, `belongs to member "n1", not to "n2"`)
	})
	t.Run("another cluster", func(t *testing.T) {
		c.refused("n1", func(cfg *raftlog.Config) {
			cfg.InitialMembers["m1"] = other.initial["m1"]
		}, "belongs to cluster", "m1", other.leader().Status().Cluster)
	})
	t.Run("empty and told nothing", func(t *testing.T) {
		c.refused("n5", same, "is empty", "initial members", "join")
	})
	t.Run("data of nobody", func(t *testing.T) {
		if err := os.MkdirAll(filepath.Join(c.dirOf("n6"), "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.refused("n6", same, "holds log but no identity.json")
	})
	t.Run("log gone", func(t *testing.T) {
		for _, name := range []string{"log", "vote.db", "vote.db.mark", "snapshots"} {
			if err := os.RemoveAll(filepath.Join(c.dirOf("n1"), name)); err != nil {
				t.Fatal(err)
			}
		}
		c.refused("n1", same, "has lost its log")
	})
}

// A founder comes back with an empty directory while the cluster lives, with the flags that founded it.
func TestAMemberWithoutMemoryDoesNotVote(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	c.agree(c.propose("kept"))
	c.stop("n2")
	if err := os.RemoveAll(c.dirOf("n2")); err != nil {
		t.Fatal(err)
	}
	c.refused("n2", same, "is empty, but the cluster lives already", "must not vote", "--join", "new id")

	t.Run("nor joins under its old id", func(t *testing.T) {
		if err := os.RemoveAll(c.dirOf("n2")); err != nil {
			t.Fatal(err)
		}
		delete(c.initial, "n2")
		if _, err := c.tryJoin("n2"); err == nil || !strings.Contains(err.Error(), "voter whose directory is empty") {
			t.Errorf("joining under the old id: got %v, want a refusal", err)
		}
	})
	t.Run("but joins under a new one", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := c.leader().Remove(ctx, "n2"); err != nil {
			t.Fatal(err)
		}
		c.join("n4")
		c.agree(c.propose("after"))
	})
}

// A founder that stopped after its answers had counted, but before it knew the cluster, is not amnesiac: it
// finds its nonce with the others.
func TestFoundingGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1", "n2", "n3")
	index := c.propose("kept")
	c.agree(index)
	c.stop("n3")
	// What n3 had on its disk before it learnt of the cluster.
	id, err := raftlog.ReadIdentity(c.dirOf("n3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.dirOf("n3")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.dirOf("n3"), 0o700); err != nil {
		t.Fatal(err)
	}
	early := raftlog.Identity{Format: id.Format, Node: id.Node, Nonce: id.Nonce}
	if err := disk.WriteDocument(filepath.Join(c.dirOf("n3"), "identity.json"), early); err != nil {
		t.Fatal(err)
	}
	c.start("n3")
	if got := c.agree(c.propose("more")); !slices.Equal(got, []string{"kept", "more"}) {
		t.Errorf("the members hold %q", got)
	}

	t.Run("also between cluster id and first entry", func(t *testing.T) {
		c.stop("n3")
		id.Ready = false
		if err := os.RemoveAll(c.dirOf("n3")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(c.dirOf("n3"), 0o700); err != nil {
			t.Fatal(err)
		}
		id.Founding = map[string]string{"n3": id.Nonce}
		if err := disk.WriteDocument(filepath.Join(c.dirOf("n3"), "identity.json"), id); err != nil {
			t.Fatal(err)
		}
		c.start("n3")
		c.agree(c.propose("again"))
	})
}

// A cluster of one grows to three while it runs, and the two that joined lead it once the first is removed.
func TestAClusterGrowsFromOne(t *testing.T) {
	t.Parallel()
	c := runCluster(t, "n1")
	c.propose("alone")
	c.join("n2")
	c.join("n3")
	voters := func() (n int) {
		list, err := c.leader().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Voter {
				n++
			}
		}
		return n
	}
	eventually(t, "both learners are promoted", func() bool { return voters() == 3 })
	if got := c.agree(c.propose("together")); !slices.Equal(got, []string{"alone", "together"}) {
		t.Errorf("the members hold %q", got)
	}
	c.lead("n1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.members["n1"].Remove(ctx, "n1"); err != nil && !errors.Is(err, log.ErrUncertain) {
		t.Fatalf("remove the leader: %v", err)
	}
	c.stop("n1")
	if got := c.agree(c.propose("without")); !slices.Equal(got, []string{"alone", "together", "without"}) {
		t.Errorf("the members hold %q", got)
	}
}
