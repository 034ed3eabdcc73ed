package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Own says which cluster to start.
type Own struct {
	Nodes int
	// Dir is where its data goes for the time being; it must be on the disk that is to be measured. It is made
	// and removed again.
	Dir string
	// Profiles is a directory that each node writes a CPU and an allocation profile to; empty: none.
	Profiles string
}

// ownRows need a cluster of their own, with callers in the leading process. They share one that grows.
var ownRows = []struct {
	name    string
	measure func(*own, context.Context) error
}{
	{"embedded", (*own).embedded},
	{"size", (*own).sizes},
	{"memory", (*own).memory},
	{"snapshot", (*own).snapshot},
	{"restart", (*own).restart},
	{"rejoin", (*own).rejoin},
}

// rowMesos is apart: it begins with an empty registry each time.
const rowMesos = "mesos"

// OwnNames lists the rows that need a cluster of its own.
func OwnNames() (names []string) {
	for _, row := range ownRows {
		names = append(names, row.name)
	}
	return append(names, rowMesos)
}

// own is one measurement of a cluster of its own.
type own struct {
	Config
	Own
	*cluster
	leading *node
}

// Local measures clusters of processes of this program.
func Local(ctx context.Context, cfg Config, o Own) (err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	if err := o.outside(ctx, cfg); err != nil {
		return err
	}
	if err := o.within(ctx, cfg); err != nil {
		return err
	}
	if slices.Contains(cfg.Rows, rowMesos) {
		return o.mesos(ctx, cfg)
	}
	return nil
}

// with starts a cluster, has it used, and ends it.
func (o Own) with(ctx context.Context, nodes int, use func(*cluster, *node) error) (err error) {
	dir := filepath.Join(o.Dir, "cluster")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	c, err := startCluster(ctx, dir, nodes)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, c.stop(), os.RemoveAll(dir)) }()
	leading, err := c.leader(ctx)
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		if o.Profiles != "" {
			if _, err := n.order(order{Do: "profile", File: filepath.Join(o.Profiles, n.role(leading)+".cpu")}); err != nil {
				return err
			}
		}
	}
	return errors.Join(use(c, leading), c.endProfiles())
}

// endProfiles has the profiles written that are being taken; a node that is killed writes none.
func (c *cluster) endProfiles() error {
	var errs []error
	for _, n := range c.nodes {
		if n.process != nil {
			_, err := n.order(order{Do: "profile"})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// role names a node by what it is.
func (n *node) role(leading *node) string {
	if n == leading {
		return "leader"
	}
	return "follower-" + n.id
}

// outside measures over HTTP.
func (o Own) outside(ctx context.Context, cfg Config) error {
	if !slices.ContainsFunc(Names(), func(name string) bool { return slices.Contains(cfg.Rows, name) }) {
		return nil
	}
	cfg.Progress("starting a cluster", 0, 0)
	return o.with(ctx, o.Nodes, func(c *cluster, leading *node) error {
		r, err := dial(ctx, []string{"http://" + leading.http}, nil)
		if err != nil {
			return err
		}
		defer r.Close()
		m := &run{Config: cfg, remote: r, fleet: newFleet()}
		return m.measure(ctx) // nothing to clean up: the cluster goes
	})
}

// within measures from within the leading process.
func (o Own) within(ctx context.Context, cfg Config) error {
	asked := slices.ContainsFunc(OwnNames(), func(name string) bool { return name != rowMesos && slices.Contains(cfg.Rows, name) })
	if !asked {
		return nil
	}
	cfg.Progress("starting a cluster", 0, 0)
	return o.with(ctx, o.Nodes, func(c *cluster, leading *node) error {
		m := &own{Config: cfg, Own: o, cluster: c, leading: leading}
		for _, row := range ownRows {
			if !slices.Contains(cfg.Rows, row.name) {
				continue
			}
			if err := row.measure(m, ctx); err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
}

// grow brings the registry to a number of agents.
func (m *own) grow(agents int) error {
	m.Progress(fmt.Sprintf("admitting %d agents", agents), 0, 0)
	_, err := m.leading.order(order{Do: "grow", Agents: agents})
	return err
}

// writes measures one level of callers in the leading process.
func (m *own) writes(callers, batch int, duration time.Duration) (Row, error) {
	return m.ordered(order{Do: "writes", Load: Load{callers, batch, m.Warm, duration}})
}

// ordered has the leading process measure something, and adds what all processes spent on each operation.
func (m *own) ordered(o order) (Row, error) {
	before, err := m.cpu()
	if err != nil {
		return Row{}, err
	}
	start := time.Now()
	a, err := m.leading.order(o)
	if err != nil {
		return Row{}, err
	}
	took := time.Since(start)
	after, err := m.cpu()
	if err != nil {
		return Row{}, err
	}
	row := a.Rows[0]
	if row.More == nil {
		row.More = map[string]float64{}
	}
	row.More["all_cpu_us"] = (after - before).Seconds() / took.Seconds() / row.PerSecond * 1e6
	return row, nil
}

// cpu is what all processes have used so far.
func (m *own) cpu() (sum time.Duration, err error) {
	for _, n := range m.nodes {
		u, err := (&remote{leader: "http://" + n.http, raw: http.DefaultClient}).usage(context.Background())
		if err != nil {
			return 0, err
		}
		sum += u.cpu
	}
	return sum, nil
}

func (m *own) embedded(context.Context) error {
	if err := m.grow(m.Agents); err != nil {
		return err
	}
	for _, callers := range m.Callers {
		m.Progress(fmt.Sprintf("embedded, %d callers", callers), 0, 0)
		row, err := m.writes(callers, 1, m.Duration)
		if err != nil {
			return err
		}
		row.Name, row.Agents = "embedded", m.Agents
		m.Report(row)
	}
	return nil
}

// sizes measures one caller's operation in ever larger registries.
func (m *own) sizes(context.Context) error {
	sizes := []int{1_000, 50_000, m.Agents}
	slices.Sort(sizes)
	for _, agents := range slices.Compact(sizes) {
		if agents > m.Agents {
			break
		}
		if err := m.grow(agents); err != nil {
			return err
		}
		row, err := m.writes(1, 1, m.Duration)
		if err != nil {
			return err
		}
		row.Name, row.Agents = "size", agents
		m.Report(row)
	}
	return nil
}

// memory is what each process holds under load, and what the state takes after a collection.
func (m *own) memory(ctx context.Context) error {
	if err := m.grow(m.Agents); err != nil {
		return err
	}
	m.Progress("memory", 0, 0)
	row, err := m.writes(256, 1, m.Duration)
	if err != nil {
		return err
	}
	row.Name, row.Agents = "memory", m.Agents
	for _, n := range m.nodes {
		u, err := (&remote{leader: "http://" + n.http, raw: http.DefaultClient}).usage(ctx)
		if err != nil {
			return err
		}
		row.More[n.role(m.leading)+"_resident_mib"] = float64(u.resident) / (1 << 20)
	}
	a, err := m.leading.order(order{Do: "collect"})
	if err != nil {
		return err
	}
	heap := a.Rows[0].More["heap_mib"]
	row.More["leader_heap_mib"] = heap
	row.More["bytes_an_agent"] = heap * (1 << 20) / float64(m.Agents)
	m.Report(row)
	return nil
}

// snapshot compares 256 callers without one and while one is written.
func (m *own) snapshot(context.Context) error {
	if err := m.grow(m.Agents); err != nil {
		return err
	}
	for _, with := range []bool{false, true} {
		m.Progress("snapshot", 0, 0)
		what, duration := "none", m.Duration
		if with {
			what = "while one is written"
			duration = max(duration, 3*m.Duration)
		}
		row, err := m.ordered(order{Do: "writes", Load: Load{256, 1, m.Warm, duration}, Snapshot: with})
		if err != nil {
			return err
		}
		row.Name, row.What, row.Agents = "snapshot", what, m.Agents
		m.Report(row)
	}
	return nil
}

// restart kills one process and starts it again, and then all.
func (m *own) restart(ctx context.Context) error {
	if err := m.grow(m.Agents); err != nil {
		return err
	}
	m.Progress("restart", 0, 0)
	if err := m.endProfiles(); err != nil {
		return err
	}
	follower := max(0, slices.IndexFunc(m.nodes, func(n *node) bool { return n != m.leading }))
	for _, some := range []struct {
		what  string
		nodes []*node
	}{{"a follower, until it is ready", m.nodes[follower : follower+1]}, {"all nodes, until each is ready", m.nodes}} {
		for _, n := range some.nodes {
			if err := n.kill(); err != nil {
				return err
			}
		}
		start := time.Now()
		for _, n := range some.nodes {
			if err := n.start(); err != nil {
				return err
			}
		}
		var took []time.Duration
		for _, n := range some.nodes {
			if err := n.ready(ctx); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		row := summary(took)
		row.Name, row.What, row.Agents = "restart", some.what, m.Agents
		m.Report(row)
	}
	var err error
	m.leading, err = m.leader(ctx)
	return err
}

// rejoin takes a follower's disk away and has a new member in its place.
func (m *own) rejoin(ctx context.Context) error {
	if len(m.nodes) < 2 {
		return errors.New("there is no follower")
	}
	m.Progress("rejoin", 0, 0)
	lost := m.nodes[slices.IndexFunc(m.nodes, func(n *node) bool { return n != m.leading })]
	if err := errors.Join(m.endProfiles(), lost.kill(), os.RemoveAll(lost.dir)); err != nil {
		return err
	}
	r, err := dial(ctx, []string{"http://" + m.leading.http}, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.RemoveMember(ctx, lost.id); err != nil {
		return err
	}
	lost.id, lost.dir, lost.join = lost.id+"b", lost.dir+"b", "http://"+m.leading.http
	start := time.Now()
	if err := lost.start(); err != nil {
		return err
	}
	if err := lost.ready(ctx); err != nil {
		return err
	}
	row := summary([]time.Duration{time.Since(start)})
	row.Name, row.What, row.Agents = "rejoin", "without its disk, until it is ready", m.Agents
	m.Report(row)
	return nil
}
