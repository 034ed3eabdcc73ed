package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
)

// Config says what to measure, and how.
type Config struct {
	Rows     []string
	Callers  []int
	Batches  []int // operations in one request
	Agents   int   // in the registry while it is measured
	Watchers int
	Warm     time.Duration
	Duration time.Duration // of each level
	// Force measures a registry that holds agents of others too.
	Force bool
	// Report is called with each row as it is done. Progress, with what is being done; of is 0 where nobody knows.
	Report   func(Row)
	Progress func(what string, done, of int)
}

// How the rows are driven.
const (
	heartbeatEvery = 15 * time.Second
	heartbeatBatch = 1000
	lists          = 10
)

// rows that any cluster can be measured by, in order.
var rows = []struct {
	name    string
	measure func(*run, context.Context) error
}{
	{"writes", (*run).writes},
	{"reads", (*run).reads},
	{"list", (*run).lists},
	{"watch", (*run).watches},
	{"heartbeats", (*run).beats},
}

// Names lists the rows that any cluster can be measured by.
func Names() (names []string) {
	for _, row := range rows {
		names = append(names, row.name)
	}
	return names
}

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	for _, row := range c.Rows {
		check(slices.Contains(Names(), row) || slices.Contains(OwnNames(), row), "there is no row %q", row)
	}
	check(len(c.Callers) > 0 && slices.Min(c.Callers) >= 1 && slices.Max(c.Callers) <= 10_000, "callers %v are not between 1 and 10000", c.Callers)
	check(len(c.Batches) > 0 && slices.Min(c.Batches) >= 1 && slices.Max(c.Batches) <= 10_000, "operations in a request %v are not between 1 and 10000", c.Batches)
	if len(c.Callers) > 0 {
		check(c.Agents >= slices.Max(c.Callers), "%d agents are fewer than callers", c.Agents)
	}
	check(c.Watchers >= 1, "%d watchers see nothing", c.Watchers)
	check(c.Duration >= 100*time.Millisecond, "%s is too short to measure", c.Duration)
	return errors.Join(problems...)
}

// run is one measurement of one cluster.
type run struct {
	Config
	*remote
	fleet *fleet
}

// Remote measures the cluster at the addresses, and takes away what it brought there.
func Remote(ctx context.Context, cfg Config, addresses []string, config *tls.Config) (err error) {
	r, err := dial(ctx, addresses, config)
	if err != nil {
		return err
	}
	defer r.Close()
	status, err := r.Status(ctx)
	if err != nil {
		return err
	}
	if n := status.Agents.Admitted + status.Agents.Unreachable + status.Agents.Gone; n > 0 && !cfg.Force {
		return fmt.Errorf("the registry at %s holds %d agents: measuring would load a cluster in use, --force does it all the same", r.leader, n)
	}
	m := &run{Config: cfg, remote: r, fleet: newFleet()}
	defer func() {
		cfg.Progress("cleaning up", 0, 0)
		err = errors.Join(err, m.fleet.cleanup(ctx, r))
	}()
	return m.measure(ctx)
}

// dial finds the leader and keeps to it.
func dial(ctx context.Context, addresses []string, config *tls.Config) (*remote, error) {
	any, err := client.New(client.Config{Addresses: addresses, TLS: config})
	if err != nil {
		return nil, err
	}
	defer any.Close()
	members, err := any.Members(ctx, registrar.Linearizable)
	if err != nil {
		return nil, err
	}
	leader := addresses[0] // a single node may have announced nothing
	for _, member := range members.Members {
		if scheme, _, ok := strings.Cut(leader, "://"); member.Leader && member.HTTPAddr != "" {
			if !ok {
				scheme = "http"
			}
			leader = scheme + "://" + member.HTTPAddr
		}
	}
	c, err := client.New(client.Config{Addresses: []string{leader}, TLS: config, AskOnly: true})
	if err != nil {
		return nil, err
	}
	return &remote{Client: c, leader: leader, raw: &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16}}}, nil
}

// Close lets go of all connections.
func (r *remote) Close() {
	r.Client.Close()
	r.raw.CloseIdleConnections()
}

// measure does the rows asked for that any cluster can be measured by.
func (m *run) measure(ctx context.Context) error {
	for _, row := range rows {
		if !slices.Contains(m.Rows, row.name) {
			continue
		}
		err := m.fleet.grow(ctx, m.remote, m.Agents, func(done, of int) { m.Progress("admitting agents", done, of) })
		if err == nil {
			err = row.measure(m, ctx)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}

// level measures one row, with what the leader spends on it.
func (m *run) level(ctx context.Context, row Row, load func(ctx context.Context) (Row, error)) error {
	m.Progress(row.title(), 0, 0)
	before, err := m.usage(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	measured, err := load(ctx)
	took := time.Since(start)
	if err != nil {
		return err
	}
	after, err := m.usage(ctx)
	if err != nil {
		return err
	}
	measured.Name, measured.What, measured.Agents = row.Name, row.What, m.fleet.size
	if measured.More == nil {
		measured.More = map[string]float64{}
	}
	// The warm-up counts on both sides.
	cores := (after.cpu - before.cpu).Seconds() / took.Seconds()
	measured.More["leader_cores"] = cores
	measured.More["leader_resident_mib"] = float64(after.resident) / (1 << 20)
	if elections := after.term - before.term; elections > 0 {
		measured.More["elections"] = float64(elections)
	}
	if measured.PerSecond > 0 {
		measured.LeaderCPU = cores / measured.PerSecond * 1e6
	}
	m.Report(measured)
	return nil
}

// title is what is said of a row while it is measured.
func (r Row) title() string {
	title := r.Name
	if r.What != "" {
		title += ", " + r.What
	}
	if r.Callers > 0 {
		title += fmt.Sprintf(", %d callers", r.Callers)
	}
	if r.Batch > 1 {
		title += fmt.Sprintf(", %d a request", r.Batch)
	}
	return title
}

func (m *run) load(callers, batch int) Load { return Load{callers, batch, m.Warm, m.Duration} }

// writes toggles random agents between admitted and unreachable.
func (m *run) writes(ctx context.Context) error {
	for _, batch := range m.Batches {
		for _, callers := range m.Callers {
			if batch > 1 && callers*batch > registrar.Defaults("").QueueOps {
				continue // it would measure refusals
			}
			l := m.load(callers, batch)
			err := m.level(ctx, Row{Name: "writes", Callers: callers, Batch: batch}, func(ctx context.Context) (Row, error) {
				return l.closed(ctx, func(ctx context.Context, caller int) error { return m.fleet.toggle(ctx, m.remote, l, caller) })
			})
			if err != nil {
				return err
			}
		}
	}
	return m.fleet.heal(ctx, m.remote)
}

// reads gets one agent after the other.
func (m *run) reads(ctx context.Context) error {
	for _, callers := range m.Callers {
		for _, c := range []registrar.Consistency{registrar.Linearizable, registrar.Stale} {
			what := "linearizable"
			if c == registrar.Stale {
				what = "stale"
			}
			l := m.load(callers, 1)
			err := m.level(ctx, Row{Name: "reads", What: what, Callers: callers}, func(ctx context.Context) (Row, error) {
				next := make([]int, callers)
				return l.closed(ctx, func(ctx context.Context, caller int) error {
					next[caller] += callers
					return m.read(ctx, m.fleet.id((caller+next[caller])%m.fleet.size), c)
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// lists reads all agents, or as many as one answer holds.
func (m *run) lists(ctx context.Context) error {
	limit := min(m.fleet.size, 100_000)
	return m.level(ctx, Row{Name: "list", Batch: limit}, func(ctx context.Context) (Row, error) {
		var first, whole []time.Duration
		var size int64
		for n := range lists {
			m.Progress("list", n, lists)
			start := time.Now()
			var begun time.Duration
			ctx := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { begun = time.Since(start) }})
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/agents?limit=%d", m.leader, limit), nil)
			if err != nil {
				return Row{}, err
			}
			response, err := m.raw.Do(request)
			if err != nil {
				return Row{}, err
			}
			size, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK {
				return Row{}, fmt.Errorf("a list was answered %s: %w", response.Status, err)
			}
			first, whole = append(first, begun), append(whole, time.Since(start))
		}
		row := summary(whole)
		begun := summary(first)
		row.Batch = limit
		row.More = map[string]float64{"first_byte_p50_ms": begun.P50, "first_byte_max_ms": begun.Max, "mib": float64(size) / (1 << 20)}
		return row, nil
	})
}

// beats sends every agent's heartbeat once in its interval, many in a request.
func (m *run) beats(ctx context.Context) error {
	batch := min(heartbeatBatch, m.fleet.size)
	interval := heartbeatEvery * time.Duration(batch) / time.Duration(m.fleet.size)
	l := m.load(64, batch)
	return m.level(ctx, Row{Name: "heartbeats", Batch: batch}, func(ctx context.Context) (Row, error) {
		return l.paced(ctx, interval, func(ctx context.Context, n int) error {
			return m.heartbeats(ctx, m.fleet.ids(n*batch, batch))
		})
	})
}
