package clustertests

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/client"
)

// writers admit agents of their own, one after the other, as fast as they are answered.
type writers struct {
	t        testing.TB
	cancel   context.CancelFunc
	done     sync.WaitGroup
	admitted atomic.Int64   // acknowledged so far
	answered []atomic.Int64 // by writer, whatever the answer

	mu      sync.Mutex
	yes     []string // acknowledged
	perhaps []string // nobody could say
	no      []string // answered "no", for good
	longest time.Duration
}

// write starts n writers that try each admission for as long as tries says: short, and faults are seen; long,
// and they are waited out.
func (c *Cluster) write(n int, tries time.Duration) *writers {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{t: c.t, cancel: cancel, answered: make([]atomic.Int64, n)}
	for i := range n {
		cl := c.client()
		w.done.Go(func() { w.run(ctx, cl, i, tries) })
	}
	c.t.Cleanup(w.stop)
	return w
}

// client knows all nodes.
func (c *Cluster) client() *client.Client {
	c.t.Helper()
	cl, err := client.New(client.Config{Addresses: c.addresses(), Attempt: 5 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

func (w *writers) run(ctx context.Context, cl *client.Client, writer int, tries time.Duration) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("w%d-%06d", writer, n)
		attempt, cancel := context.WithTimeout(context.Background(), tries)
		began := time.Now()
		outcome, err := cl.Apply(attempt, fsm.AdmitAgent{Agent: agent(w.t, id)})
		cancel()
		w.mu.Lock()
		w.longest = max(w.longest, time.Since(began))
		var rejected *fsm.Rejection
		switch {
		case err == nil && outcome.Changed:
			w.yes = append(w.yes, id)
			w.admitted.Add(1)
		case err == nil, errors.As(err, &rejected):
			w.t.Errorf("admitting %s, which nobody else does, answered %+v, %v", id, outcome, err)
		case errors.Is(err, log.ErrUncertain):
			w.perhaps = append(w.perhaps, id)
		default:
			w.no = append(w.no, id)
		}
		w.mu.Unlock()
		w.answered[writer].Add(1)
	}
}

// stop ends the writers, each after its answer.
func (w *writers) stop() {
	w.cancel()
	w.done.Wait()
}

// more waits until n more admissions were acknowledged than when it was called.
func (w *writers) more(n int64) {
	w.t.Helper()
	until := w.admitted.Load() + n
	await(w.t, fmt.Sprintf("%d more admissions", n), func() error {
		if got := w.admitted.Load(); got < until {
			return fmt.Errorf("%d of %d", got, until)
		}
		return nil
	})
}

// settle waits until every writer was answered what it asked after the call, so that none waits for what was before.
func (w *writers) settle() {
	w.t.Helper()
	var until []int64
	for i := range w.answered {
		until = append(until, w.answered[i].Load()+2)
	}
	await(w.t, "answers to all writers", func() error {
		for i := range w.answered {
			if got := w.answered[i].Load(); got < until[i] {
				return fmt.Errorf("writer %d: %d of %d", i, got, until[i])
			}
		}
		return nil
	})
}

// longestWait is the longest that any writer waited for an answer that came since the last call.
func (w *writers) longestWait() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest := w.longest
	w.longest = 0
	return longest
}

func agent(t testing.TB, id string) fsm.AgentObject {
	object, err := fsm.AgentInfo{
		ID: id, Hostname: id + ".example.org",
		Resources: []fsm.Resource{{Name: "cpus", Scalar: &fsm.Scalar{Value: 16}}, {Name: "mem", Scalar: &fsm.Scalar{Value: 65536}}},
	}.Object()
	if err != nil {
		t.Error(err)
	}
	return object
}
