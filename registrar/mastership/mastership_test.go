package mastership

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
)

// node is one member over a log in memory, in a synctest bubble.
type node struct {
	*Mastership
	t         *testing.T
	log       *memlog.Log[fsm.Result]
	registrar *registrar.Registrar
	stop      func()
}

// open starts a member of the log in storage; the first one leads.
func open(t *testing.T, storage *memlog.Storage, id string) *node {
	t.Helper()
	n := &node{t: t}
	machine := fsm.New()
	var err error
	if n.log, err = memlog.Open(memlog.Config{ID: id, Storage: storage}, machine); err != nil {
		t.Fatal(err)
	}
	if n.registrar, err = registrar.New(registrar.Defaults(id), n.log, machine); err != nil {
		t.Fatal(err)
	}
	n.Mastership = New(n.registrar, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.registrar.Run(ctx) }()
	n.stop = func() {
		cancel()
		<-ended
		_ = n.log.Close()
	}
	synctest.Wait()
	return n
}

// claim must come to this.
func (n *node) claim(id string, ttl time.Duration, want error) Grant {
	n.t.Helper()
	grant, err := n.Claim(n.t.Context(), id, fsm.Info(`{"id":"`+id+`"}`), ttl, "test")
	if !errors.Is(err, want) || want == nil && err != nil {
		n.t.Fatalf("%s claims: %+v, %v; want %v", id, grant, err, want)
	}
	return grant
}

func (n *node) renew(epoch uint64, want error) {
	n.t.Helper()
	if err := n.Renew(n.t.Context(), epoch); !errors.Is(err, want) || want == nil && err != nil {
		n.t.Fatalf("renew %d: %v, want %v", epoch, err, want)
	}
}

// admit proposes an operation under an epoch, and tells whether it was obeyed.
func (n *node) admit(id string, epoch uint64) bool {
	n.t.Helper()
	object, err := fsm.AgentInfo{ID: id, Hostname: "h"}.Object()
	if err != nil {
		n.t.Fatal(err)
	}
	result, err := n.registrar.Propose(n.t.Context(), []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: object}, Epoch: epoch}})
	if err != nil {
		n.t.Fatal(err)
	}
	rejection := result.Outcomes[0].Rejection
	if rejection != nil && rejection.Code != fsm.Superseded {
		n.t.Fatal(rejection)
	}
	return rejection == nil
}

// run is a test on one leader, or on two members of which the first leads.
func run(t *testing.T, test func(a, b *node)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := new(memlog.Storage)
		a, b := open(t, storage, "a"), open(t, storage, "b")
		defer a.stop()
		defer b.stop()
		test(a, b)
	})
}

// The lease keeps others away while it is renewed, and not a moment longer than its ttl.
func TestLease(t *testing.T) {
	run(t, func(a, _ *node) {
		first := a.claim("m1", 10*time.Second, nil)
		a.claim("m2", 10*time.Second, ErrHeld)
		for range 5 {
			time.Sleep(9 * time.Second)
			a.renew(first.Epoch, nil)
		}
		time.Sleep(9999 * time.Millisecond)
		a.claim("m2", 10*time.Second, ErrHeld)
		time.Sleep(2 * time.Millisecond)
		second := a.claim("m2", 10*time.Second, nil)
		if second.Epoch != first.Epoch+1 || second.Index <= first.Index {
			a.t.Errorf("%+v after %+v", second, first)
		}
		a.renew(first.Epoch, ErrSuperseded)
	})
}

// The lease is soft and the epoch hard: an expired lease leaves the epoch valid until the next claim, and from then on
// nothing of it is obeyed, however late it comes.
func TestEpoch(t *testing.T) {
	run(t, func(a, _ *node) {
		first := a.claim("m1", time.Second, nil)
		if !a.admit("a1", first.Epoch) || a.admit("a2", first.Epoch+1) {
			a.t.Error("the wrong epoch is obeyed")
		}
		time.Sleep(time.Hour)
		if !a.admit("a3", first.Epoch) {
			a.t.Error("an epoch ended with its lease")
		}
		a.renew(first.Epoch, nil) // late, and nobody has claimed
		a.claim("m2", time.Second, ErrHeld)
		time.Sleep(2 * time.Second)
		second := a.claim("m2", time.Second, nil)
		if a.admit("a4", first.Epoch) || !a.admit("a5", second.Epoch) || !a.admit("a6", 0) {
			a.t.Error("the wrong epoch is obeyed after a claim")
		}
	})
}

// The holder's own id may claim again, while its lease runs: a master that was restarted need not wait. Its earlier
// self is superseded.
func TestHolderClaimsAgain(t *testing.T) {
	run(t, func(a, _ *node) {
		first := a.claim("m1", time.Minute, nil)
		second := a.claim("m1", time.Minute, nil)
		if second.Epoch != first.Epoch+1 || a.admit("a1", first.Epoch) || !a.admit("a2", second.Epoch) {
			a.t.Errorf("%+v after %+v", second, first)
		}
	})
}

// Resigning ends the epoch at once, for its operations too, and anybody may claim.
func TestResign(t *testing.T) {
	run(t, func(a, _ *node) {
		first := a.claim("m1", time.Minute, nil)
		if _, err := a.Resign(a.t.Context(), first.Epoch+1, "test"); !errors.Is(err, ErrSuperseded) {
			a.t.Errorf("another epoch was resigned: %v", err)
		}
		index, err := a.Resign(a.t.Context(), first.Epoch, "test")
		if err != nil || index <= first.Index {
			a.t.Errorf("%d, %v", index, err)
		}
		if _, held := a.registrar.State().Master(); held || a.admit("a1", first.Epoch) {
			a.t.Error("the epoch did not end")
		}
		a.renew(first.Epoch, ErrSuperseded)
		if second := a.claim("m2", time.Minute, nil); second.Epoch != first.Epoch+1 {
			a.t.Errorf("%+v after %+v", second, first)
		}
	})
}

// A new leader grants the holder one whole ttl, whatever the old leader had counted; the old one grants nothing.
func TestNewLeaderGrantsOneWholeTTL(t *testing.T) {
	run(t, func(a, b *node) {
		first := a.claim("m1", 10*time.Second, nil)
		time.Sleep(9 * time.Second)
		b.log.TakeReign()
		synctest.Wait()
		a.claim("m2", time.Second, log.ErrNotLeader)
		a.renew(first.Epoch, log.ErrNotLeader)
		if a.Remaining(first.Epoch) != 0 || b.Remaining(first.Epoch) != 10*time.Second {
			a.t.Errorf("a: %s, b: %s remain", a.Remaining(first.Epoch), b.Remaining(first.Epoch))
		}
		time.Sleep(9 * time.Second)
		b.claim("m2", time.Second, ErrHeld)
		b.renew(first.Epoch, nil)
		time.Sleep(11 * time.Second)
		b.claim("m2", time.Second, nil)
	})
}

// A claim that is on its way when the reign ends comes to nothing, though the lease of the next leader has run out by
// then: what one reign decided is not for another.
func TestClaimDoesNotOutliveTheReign(t *testing.T) {
	run(t, func(a, b *node) {
		began, goOn := make(chan struct{}), make(chan struct{})
		a.log.OnPropose(func(context.Context, []byte) memlog.Fate {
			a.log.OnPropose(nil)
			close(began)
			<-goOn
			return memlog.Append
		})
		claimed := make(chan error, 1)
		go func() {
			_, err := a.Claim(a.t.Context(), "m1", `{"id":"m1"}`, time.Second, "test")
			claimed <- err
		}()
		<-began
		b.log.TakeReign()
		synctest.Wait()
		grant := b.claim("m2", time.Second, nil)
		close(goOn)
		if err := <-claimed; err == nil {
			a.t.Error("a deposed leader granted mastership")
		}
		synctest.Wait()
		if holder, ok := b.registrar.State().Master(); !ok || holder.ID != "m2" || holder.Epoch != grant.Epoch {
			a.t.Errorf("%+v, want m2 with epoch %d", holder, grant.Epoch)
		}
	})
}

// A ttl that cannot be renewed in time, or keeps a dead master's place for very long, is refused.
func TestTTLIsBounded(t *testing.T) {
	run(t, func(a, _ *node) {
		for _, ttl := range []time.Duration{0, -time.Second, MinTTL - 1, MaxTTL + 1} {
			_, err := a.Claim(a.t.Context(), "m1", `{"id":"m1"}`, ttl, "test")
			var refused *fsm.Rejection
			if !errors.As(err, &refused) || refused.Code != fsm.BadRequest {
				a.t.Errorf("ttl %s: %v", ttl, err)
			}
		}
		if a.registrar.State().Epoch() != 0 {
			a.t.Error("a refused claim was written")
		}
	})
}
