package clustertests

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/client"
)

// cutOff cuts a node off from the other members, both ways, and returns once it does not lead. Clients reach it all
// the while.
func (c *Cluster) cutOff(t *testing.T, node *Node) (others []string) {
	t.Helper()
	var ids []string
	for _, other := range c.Nodes {
		if other != node {
			others, ids = append(others, other.HTTP), append(ids, other.ID)
		}
	}
	part(c.links(), []string{node.ID}, ids)
	await(t, node.ID+" does not lead", func() error {
		status, err := node.status()
		if err == nil && status.Role == "leader" {
			err = errors.New("it leads")
		}
		return err
	})
	return others
}

// A leader that is cut off from its followers for more than twice the window, while agents go on sending heartbeats
// through every node and so through it, marks nobody; the next leader marks the one that is silent and no other; and
// so does whoever leads when they are together again.
func TestLivingAgentsAreNeverMarkedOverACut(t *testing.T) {
	t.Parallel()
	c := newClusterOn(t, 3, livenessFlags()...)
	c.beat(t, 10)
	register(t, c, "silent")
	cut := c.leader()
	c.cutOff(t, cut)
	began := time.Now()
	before, err := cut.status()
	if err != nil {
		t.Fatal(err)
	}
	c.awaitUnreachable(t, "silent") // by the next leader, after a window of its own
	if rest := 2*windowOfTest - time.Since(began); rest > 0 {
		<-time.After(rest)
	}
	if after, err := cut.status(); err != nil || after.Index != before.Index {
		t.Errorf("%s is cut off, and went on from index %d to %d, %v", cut.ID, before.Index, after.Index, err)
	}
	c.links().heal()
	register(t, c, "late") // registers with whoever leads by now, and never again
	c.awaitUnreachable(t, "late")
	c.marked(t, "silent", "late")
}

// A master that talks to a leader which is cut off, and goes on as if nothing had happened, changes nothing once
// another master has claimed on the other side: not through the old leader while it is cut off, nor what that one
// still had in its log, nor when all are together again, nor when the old leader leads once more.
func TestDepositionOfAMasterOfACutLeader(t *testing.T) {
	t.Parallel()
	c := newClusterOn(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cl := c.client()
	cut := c.leader()
	old := c.stubborn(ctx, t, cut, claim(ctx, t, cl, "m1").Epoch)
	old.more(t, "applied", 20)
	majority, err := client.New(client.Config{Addresses: c.cutOff(t, cut), AskOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer majority.Close()
	current := claim(ctx, t, majority, "m2")
	result, err := majority.Propose(ctx, []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agentObject(t, "new")}, Epoch: current.Epoch}})
	if err != nil || result.Outcomes[0].Rejection != nil {
		t.Fatalf("the new master: %+v, %v", result, err)
	}
	old.more(t, "unanswered", 3)
	c.links().heal()
	old.more(t, "superseded", 5)
	await(t, cut.ID+" leads again", func() error {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		defer done()
		return cl.Lead(try, cut.ID)
	})
	old.more(t, "superseded", 5)
	old.stop()
	for node, changes := range c.history(t) {
		for _, change := range changes {
			if strings.HasPrefix(change.ID, "old-") && change.Index > current.Index {
				t.Errorf("%s: %s was admitted at index %d, and the next master had claimed at %d", node.ID, change.ID, change.Index, current.Index)
			}
		}
	}
}

// stubborn is a master that asks one node, whatever it is told.
type stubborn struct {
	cancel context.CancelFunc
	asking sync.WaitGroup

	mu   sync.Mutex
	told map[string]int // how often what was said
}

// stubborn has a master admit agents under an epoch until it is stopped, two at a time so that one is under way
// whenever its leader is cut off.
func (c *Cluster) stubborn(ctx context.Context, t *testing.T, node *Node, epoch uint64) *stubborn {
	ctx, cancel := context.WithCancel(ctx)
	s := &stubborn{cancel: cancel, told: map[string]int{}}
	t.Cleanup(s.stop)
	ask := once(node)
	for i := range 2 {
		s.asking.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				said := "applied"
				result, err := ask(ctx, fsm.Proposal{Op: fsm.AdmitAgent{Agent: agentObject(t, fmt.Sprintf("old-%d-%d", i, n))}, Epoch: epoch})
				if err != nil {
					said = "unanswered"
				} else if rejection := result.Outcomes[0].Rejection; rejection != nil {
					said = string(rejection.Code)
				}
				s.mu.Lock()
				s.told[said]++
				s.mu.Unlock()
			}
		})
	}
	return s
}

func (s *stubborn) stop() {
	s.cancel()
	s.asking.Wait()
}

// more waits until the master was told so n more times.
func (s *stubborn) more(t *testing.T, what string, n int) {
	t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.told[what]
	}
	until := count() + n
	await(t, fmt.Sprintf("%d more times %s", n, what), func() error {
		if got := count(); got < until {
			return fmt.Errorf("%d of %d", got, until)
		}
		return nil
	})
}
