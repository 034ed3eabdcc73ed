package main

import (
	"fmt"
	"time"

	metrics "github.com/armon/go-metrics"
	sink "github.com/armon/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// raftMetrics shows what raft reports beside our own. raft 1.7.3 reports through armon/go-metrics, whose sink is
// one for the whole process.
func raftMetrics(to *prometheus.Registry) error {
	s, err := sink.NewPrometheusSinkFrom(sink.PrometheusOpts{Registerer: to, Expiration: time.Minute, Name: raftSink})
	if err != nil {
		return fmt.Errorf("metrics of raft: %w", err)
	}
	config := metrics.DefaultConfig("")
	config.EnableHostname, config.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(config, s); err != nil {
		return fmt.Errorf("metrics of raft: %w", err)
	}
	return nil
}

// raftSink is how the sink calls itself; it is no metric.
const raftSink = "registrard_raft_sink"
