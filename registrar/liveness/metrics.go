package liveness

import "github.com/prometheus/client_golang/prometheus"

// metric is one number of a Watchman: what it means, and where it is read off.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(Removals) float64
}

// metrics is every metric of this package but the alarm. docs/liveness.md says what to do about them.
var metrics = []metric{
	{"registrard_agents_watched", "Admitted agents whose heartbeats the leader follows.", prometheus.GaugeValue,
		func(r Removals) float64 { return float64(r.Admitted) }},
	{"registrard_agents_awaited", "Watched agents not heard from since the change of leader or their admission.", prometheus.GaugeValue,
		func(r Removals) float64 { return float64(r.Awaited) }},
	{"registrard_agents_missing", "Watched agents that count against the removal limit.", prometheus.GaugeValue,
		func(r Removals) float64 { return float64(r.Missing) }},
	{"registrard_agents_waiting", "Missing agents that wait for their turn to be marked unreachable.", prometheus.GaugeValue,
		func(r Removals) float64 { return float64(r.Waiting) }},
	{"registrard_agents_marked_total", "Agents that this process had marked unreachable.", prometheus.CounterValue,
		func(r Removals) float64 { return float64(r.Marked) }},
	{"registrard_agents_spared_total", "Agents heard from while they waited for their turn to be marked.", prometheus.CounterValue,
		func(r Removals) float64 { return float64(r.Spared) }},
	{"registrard_heartbeats_total", "Heartbeats of watched agents.", prometheus.CounterValue,
		func(r Removals) float64 { return float64(r.Heartbeats) }},
	{"registrard_standstills_total", "Times the leader stood still so long, or its clock jumped so far, that every silence began anew.", prometheus.CounterValue,
		func(r Removals) float64 { return float64(r.Standstills) }},
}

const (
	alarmName = "registrard_removal_alarm"
	alarmHelp = "1 while nobody is marked unreachable, by reason: limit, hold, clock. Alarm: anything above 0."
)

// Describe implements prometheus.Collector.
func (w *Watchman) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(w, to) }

// Collect implements prometheus.Collector: all metrics are of one moment.
func (w *Watchman) Collect(to chan<- prometheus.Metric) {
	now := w.Removals()
	for _, m := range metrics {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), m.kind, m.value(now))
	}
	alarm := prometheus.NewDesc(alarmName, alarmHelp, []string{"reason"}, nil)
	for _, reason := range []Alarm{LimitAlarm, HoldAlarm, ClockAlarm} {
		up := 0.0
		if now.Alarm == reason {
			up = 1
		}
		to <- prometheus.MustNewConstMetric(alarm, prometheus.GaugeValue, up, string(reason))
	}
}
