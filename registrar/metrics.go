package registrar

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// Metrics is what a Registrar counts and measures. docs/metrics.md has a row for each.
type Metrics struct {
	operations   *prometheus.CounterVec
	frames       *prometheus.CounterVec
	frameOps     prometheus.Histogram
	commit       prometheus.Histogram
	reads        *prometheus.CounterVec
	pruned       *prometheus.CounterVec
	dutyFailures *prometheus.CounterVec
	registry     prometheus.Registerer
}

// NewMetrics registers the metrics with to, which may be nil. One Registrar uses them.
func NewMetrics(to prometheus.Registerer) *Metrics {
	m := &Metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_operations_total",
			Help: "Operations proposed by this node and applied, by outcome: changed, unchanged, rejected.",
		}, []string{"outcome"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_frames_total",
			Help: "Log entries proposed by this node, by what came of them: applied, stale, failed, uncertain.",
		}, []string{"result"}),
		frameOps: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "registrard_frame_operations",
			Help:    "Operations in one log entry.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "registrard_commit_seconds",
			Help:    "Time from proposing a log entry until it was durable on a majority and applied here.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_reads_total",
			Help: "Views of the registry asked of this node, by consistency: linearizable, stale.",
		}, []string{"consistency"}),
		pruned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_pruned_total",
			Help: "Records forgotten by age or count, by kind: unreachable, gone, framework.",
		}, []string{"kind"}),
		dutyFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_duty_failures_total",
			Help: "Times a leader's duty ended by an error and was begun again. Alarm: anything above 0.",
		}, []string{"duty"}),
		registry: to,
	}
	if to != nil {
		to.MustRegister(m.operations, m.frames, m.frameOps, m.commit, m.reads, m.pruned, m.dutyFailures)
	}
	return m
}

// watch registers what is read off the Registrar whenever it is asked for.
func (m *Metrics) watch(r *Registrar) {
	if m.registry == nil {
		return
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	state := r.registry.State
	for _, p := range []fsm.Phase{fsm.Admitted, fsm.Unreachable, fsm.Gone} {
		gauge("registrard_agents", "Agents in the registry, by phase.", prometheus.Labels{"phase": p.String()},
			func() float64 { return float64(state().Count(p)) })
	}
	gauge("registrard_registry_bytes", "Size of all records of the registry as encoded.", nil,
		func() float64 { return float64(state().Bytes()) })
	gauge("registrard_index", "Index of the last frame applied here.", nil,
		func() float64 { return float64(state().Index()) })
	gauge("registrard_term", "Term that this node has come to; each election begins a new one.", nil,
		func() float64 { return float64(r.log.Status().Term) })
	gauge("registrard_epoch", "The last master's fencing token.", nil,
		func() float64 { return float64(state().Epoch()) })
	gauge("registrard_clock_fault_seconds", "How far the leader's clock is behind the log's time or off most members' clocks when that "+
		"stops it from pruning and marking, else 0. Alarm: anything above 0.", nil, func() float64 {
		var fault clockFault
		if r.reign.Load() != nil && errors.As(r.ClockFault(), &fault) {
			return fault.by.Seconds()
		}
		return 0
	})
	gauge("registrard_queue_operations", "Operations that wait to be proposed.", nil,
		func() float64 { return float64(r.queue.len()) })
	gauge("registrard_leading", "1 while this node leads and accepts writes, else 0.", nil, func() float64 {
		if r.reign.Load() != nil {
			return 1
		}
		return 0
	})
}

func (m *Metrics) frame(ops int, took time.Duration, result fsm.Result, err error) {
	switch {
	case errors.Is(err, log.ErrUncertain):
		m.frames.WithLabelValues("uncertain").Inc()
		return
	case err != nil:
		m.frames.WithLabelValues("failed").Inc()
		return
	case result.Stale:
		m.frames.WithLabelValues("stale").Inc()
		return
	}
	m.frames.WithLabelValues("applied").Inc()
	m.frameOps.Observe(float64(ops))
	m.commit.Observe(took.Seconds())
	var changed, unchanged, rejected float64
	for _, outcome := range result.Outcomes {
		switch {
		case outcome.Rejection != nil:
			rejected++
		case outcome.Changed:
			changed++
		default:
			unchanged++
		}
	}
	m.operations.WithLabelValues("changed").Add(changed)
	m.operations.WithLabelValues("unchanged").Add(unchanged)
	m.operations.WithLabelValues("rejected").Add(rejected)
}

func (m *Metrics) read(c Consistency) {
	if c == Linearizable {
		m.reads.WithLabelValues("linearizable").Inc()
		return
	}
	m.reads.WithLabelValues("stale").Inc()
}
