package httpapi

import (
	"crypto/tls"
	"net/http"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/registrar/mastership"
)

// Config is what an API answers from. All but the fields marked so are required.
type Config struct {
	Registrar  *registrar.Registrar
	Watchman   *liveness.Watchman
	Mastership *mastership.Mastership
	// Liveness says whether the Watchman marks silent agents; status shows it.
	Liveness bool
	// Version of the program, for status. May be empty.
	Version string
	// ClientTLS is how to reach the other members over HTTP; nil: without TLS. host is the name that their
	// certificate must carry.
	ClientTLS func(host string) *tls.Config
	// MaxWatches bounds the streams of changes at a time; who asks for one more is told that this node is busy.
	// 0: no bound.
	MaxWatches int
	// Metrics is where the API's own are registered and what /metrics shows. May be nil: no /metrics.
	Metrics *prometheus.Registry
	// Logger may be nil.
	Logger hclog.Logger
}

// API is an http.Handler. Its Close ends the streams that would otherwise keep a server from shutting down.
type API struct {
	Config
	logger  hclog.Logger
	mux     *http.ServeMux
	proxy   *forwarder
	metrics *metrics
	shared  shared
	closing chan struct{}
	watches atomic.Int64
	held    atomic.Int64 // bytes of requests
}

// New makes the handler.
func New(cfg Config) *API {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	a := &API{Config: cfg, logger: cfg.Logger.Named("http"), mux: http.NewServeMux(), closing: make(chan struct{})}
	a.metrics = newMetrics(cfg.Metrics)
	a.proxy = newForwarder(cfg.ClientTLS, a.logger)
	a.route()
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Close ends all watches, and the connections kept to other members. Call it once, before shutting a server
// down.
func (a *API) Close() {
	close(a.closing)
	a.proxy.close()
}
