package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/registrard/registrard/cluster-tests/planted"
)

// metrics is what the API counts; docs/metrics.md has a row for each.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	forwarded prometheus.Counter
	watches   prometheus.Gauge
}

func newMetrics(to *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrard_http_requests_total",
			Help: "HTTP requests answered by this node, by route and status; those it passed on are included.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "registrard_http_request_seconds",
			Help:    "Time from a request's arrival to the end of its answer, by route; watches are left out.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"route"}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "registrard_http_forwarded_total",
			Help: "Requests that this node passed on to the leader.",
		}),
		watches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "registrard_watches",
			Help: "Watch streams open on this node.",
		}),
	}
	if to != nil {
		to.MustRegister(m.requests, m.seconds, m.forwarded, m.watches)
	}
	return m
}

// measured counts what h answers. Routes are patterns, so that no id becomes a label.
func (a *API) measured(route string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, status := time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			a.metrics.requests.WithLabelValues(route, strconv.Itoa(status.status)).Inc()
			if route != watchPattern {
				a.metrics.seconds.WithLabelValues(route).Observe(time.Since(start).Seconds())
			}
		}()
		if planted.Leak {
			go func() { <-make(chan struct{}) }()
		}
		h.ServeHTTP(status, r)
	})
}

const watchPattern = "GET /v1/watch"

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
