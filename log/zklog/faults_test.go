package zklog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/zklog/zktest"
)

func TestFaults(t *testing.T) {
	e := zktest.Start(t, 1)
	t.Run("connections lost under appends", func(t *testing.T) { connectionsLost(t, e) })
	t.Run("an id is one process's", func(t *testing.T) { twin(t, e) })
	t.Run("credentials", func(t *testing.T) { credentials(t, e) })
	t.Run("each knows who leads", func(t *testing.T) { everyoneKnows(t, e) })
	t.Run("a root of another cluster", func(t *testing.T) { otherCluster(t, e) })
}

// The connection is lost again and again while commands are under way: every caller learns what became of its own.
func connectionsLost(t *testing.T, e *zktest.Ensemble) {
	cfg := config(t, e, "n1")
	for range 3 { // the library pauses when it has tried all servers in vain
		cfg.Servers = append(cfg.Servers, e.Addresses()...)
	}
	m := logtest.NewMachine()
	l, err := testOpen(t, cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		said    = map[string]error{}
	)
	for p := range 4 {
		running.Go(func() {
			for i := range 60 {
				if _, err := l.Lead(ctx); err != nil {
					t.Errorf("lead: %v", err)
					return
				}
				command := fmt.Sprintf("p%d-%d", p, i)
				_, err := l.Propose(ctx, []byte(command))
				mu.Lock()
				said[command] = err
				mu.Unlock()
				if i%15 == 7 {
					_, s, _ := l.current()
					s.hangUp()
				}
			}
		})
	}
	running.Wait()
	times := map[string]int{}
	for _, entry := range m.Entries() {
		times[entry.Command]++
	}
	yes := 0
	for command, err := range said {
		switch {
		case err == nil && times[command] != 1:
			t.Errorf("%s was acknowledged and applied %d times", command, times[command])
		case errors.Is(err, log.ErrUncertain):
			t.Errorf("%s: %v, though the log could look", command, err)
		case err != nil && times[command] != 0:
			t.Errorf("%s was answered with a no (%v) and applied", command, err)
		case err == nil:
			yes++
		}
	}
	if yes == 0 {
		t.Error("nothing was acknowledged: the test has shown nothing")
	}
}

// A second process is refused, or, where the first one's session has ended on a busy machine, the first gives way.
func twin(t *testing.T, e *zktest.Ensemble) {
	cfg := config(t, e, "n1")
	first, err := testOpen(t, cfg, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := testOpen(t, cfg, logtest.NewMachine())
	if err == nil {
		defer second.Close()
		select {
		case <-first.Done():
			err = first.Err()
		case <-time.After(patience):
		}
	}
	if !errors.Is(err, errTwin) {
		t.Errorf("two processes under one id: %v", err)
	}
}

func credentials(t *testing.T, e *zktest.Ensemble) {
	cfg := config(t, e, "n1")
	cfg.Auth = "registrard:right"
	l, err := testOpen(t, cfg, logtest.NewMachine())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.ID = "n2"
	for _, auth := range []string{"registrard:wrong", ""} {
		cfg.Auth = auth
		other, err := testOpen(t, cfg, logtest.NewMachine())
		if err == nil {
			other.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "does not let this member") || strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), "\n") {
			t.Errorf("with credentials %q: %v", auth, err)
		}
	}
}

// Leaders end one after the other. Each member that is left learns who leads, also those that were far back in the queue
// and for whom nothing changes but the head.
func everyoneKnows(t *testing.T, e *zktest.Ensemble) {
	var logs []log.Log[logtest.Result]
	cfg := config(t, e, "n1")
	cfg.SessionTimeout = 20 * zktest.Tick // a busy machine must not change the queue
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		cfg.ID = id
		l, err := testOpen(t, cfg, logtest.NewMachine())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		logs = append(logs, l)
		deadline := time.Now().Add(patience)
		for l.Status().Leader != "n1" { // so that they stand in the queue in this order
			if time.Now().After(deadline) {
				t.Fatalf("%s does not know that n1 leads: %+v", id, l.Status())
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	for len(logs) > 1 {
		if err := logs[0].Close(); err != nil {
			t.Error(err)
		}
		logs = logs[1:]
		want := logs[0].Status().ID
		deadline := time.Now().Add(patience)
		for _, l := range logs {
			for l.Status().Leader != want {
				if time.Now().After(deadline) {
					t.Fatalf("%s leads, and to %s it is %+v", want, l.Status().ID, l.Status())
				}
				<-time.After(5 * time.Millisecond)
			}
		}
	}
}

func otherCluster(t *testing.T, e *zktest.Ensemble) {
	cfg := config(t, e, "n1")
	cfg.Dir = t.TempDir()
	for _, want := range []string{"", "is of cluster"} {
		l, err := testOpen(t, cfg, logtest.NewMachine())
		if err == nil {
			l.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("open: %v, want %q", err, want)
		}
		cfg.Root += "-other"
	}
}
