package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/registrard/registrard/fsm"
)

const (
	watchRate     = 100              // writes a second
	watchPatience = 30 * time.Second // for the last line
)

// watches has many watchers see a steady trickle of writes. A line's latency is from the moment at which its write
// was due until it was read.
func (m *run) watches(ctx context.Context) error {
	return m.level(ctx, Row{Name: "watch", What: fmt.Sprintf("%d watchers", m.Watchers)}, func(ctx context.Context) (Row, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var seen sightings
		var streams errgroup.Group
		for n := range m.Watchers {
			response, err := m.open(ctx)
			if err != nil {
				return Row{}, fmt.Errorf("watcher %d: %w", n, err)
			}
			streams.Go(func() error {
				defer response.Body.Close()
				return seen.follow(bufio.NewReaderSize(response.Body, 4096), m.fleet)
			})
		}
		l := m.load(64, 1)
		seen.count = time.Now().Add(l.Warm)
		writes, err := l.paced(ctx, time.Second/watchRate, func(ctx context.Context, n int) error {
			op, i := mark(m.fleet, n)
			seen.due(i)
			return m.propose(ctx, []fsm.Op{op})
		})
		if err != nil {
			return Row{}, err
		}
		if err := seen.wait(ctx, m.Watchers); err != nil {
			return Row{}, err
		}
		cancel()
		_ = streams.Wait() // they end because they were told to
		row := summary(seen.latencies)
		row.Callers, row.PerSecond = m.Watchers, float64(row.Count)/l.Duration.Seconds()
		row.More = map[string]float64{"writes_per_second": writes.PerSecond, "write_p99_ms": writes.P99}
		return row, nil
	})
}

// mark is the n-th write of a trickle, to agent i: each write is another agent's, so that their order does not
// matter.
func mark(f *fleet, n int) (op fsm.Op, i int) {
	i = n % f.size
	if n/f.size%2 == 0 {
		return fsm.DeactivateAgent{ID: f.id(i)}, i
	}
	return fsm.ReactivateAgent{ID: f.id(i)}, i
}

// open begins a watch.
func (m *run) open(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.leader+"/v1/watch", nil)
	if err != nil {
		return nil, err
	}
	response, err := m.raw.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	return response, nil
}

// sightings is when each write was due and how long after that each watcher saw it.
type sightings struct {
	count time.Time // writes that are due before it do not count

	mu        sync.Mutex
	dueAt     map[int]time.Time // by number of the agent
	writes    int
	lines     int
	latencies []time.Duration
	arrived   chan struct{} // closed at the next line; nil while nobody waits
}

func (s *sightings) due(agent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dueAt == nil {
		s.dueAt = map[int]time.Time{}
	}
	s.dueAt[agent] = time.Now()
	s.writes++
}

// follow notes the changes of one stream. No JSON is decoded: a thousand watchers in this process must not cost
// more than the node that is measured.
func (s *sightings) follow(in *bufio.Reader, f *fleet) error {
	key := []byte(`"id":"bench-` + f.run + `-`)
	for {
		text, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		now := time.Now()
		_, rest, found := bytes.Cut(text, key)
		if !found {
			continue // the node says that the stream lives, or somebody else writes
		}
		digits, _, _ := bytes.Cut(rest, []byte(`"`))
		agent, err := strconv.Atoi(string(digits))
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.lines++
		if due := s.dueAt[agent]; due.After(s.count) {
			s.latencies = append(s.latencies, now.Sub(due))
		}
		if s.arrived != nil {
			close(s.arrived)
			s.arrived = nil
		}
		s.mu.Unlock()
	}
}

// wait returns once every watcher has seen every write.
func (s *sightings) wait(ctx context.Context, watchers int) error {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	for {
		s.mu.Lock()
		got, want := s.lines, s.writes*watchers
		if s.arrived == nil {
			s.arrived = make(chan struct{})
		}
		arrived := s.arrived
		s.mu.Unlock()
		if got >= want {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("watchers saw %d lines of %d: %w", got, want, context.Cause(ctx))
		}
	}
}
