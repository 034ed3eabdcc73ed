package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/registrar/mastership"
	"github.com/registrard/registrard/transport/client"
	"github.com/registrard/registrard/transport/httpapi"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// serverOptions is what the flags of serve and dev say.
type serverOptions struct {
	id             string
	dataDir        string
	httpAddr       string
	raftAddr       string
	advertiseHTTP  string
	advertiseRaft  string
	initialMembers map[string]string
	alone          bool // founds a cluster of its own
	join           string
	replaces       string // the member whose place this one takes
	backend        string
	zookeeper      zookeeperOptions

	httpCert, httpKey, clientCA string
	peerCert, peerKey, peerCA   string
	insecurePeers               bool

	maxConnections int // over HTTP; 0: what open files allow
	heartbeat      time.Duration
	snapshotBytes  int64
	registrar      registrar.Config
	watch          bool // mark silent agents
	liveness       liveness.Config
	shutdown       time.Duration

	// inside is called once the node runs, in a goroutine of its own, and the node ends with it; nil: nothing is.
	inside func(ctx context.Context, node *registrar.Registrar, watchman *liveness.Watchman, l log.Log[fsm.Result]) error
}

// serve opens everything, runs until ctx ends or the log does, and shuts down in order. ready is called once the
// node answers requests.
func (o serverOptions) serve(ctx context.Context, logger hclog.Logger, ready func(*sockets)) error {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := raftMetrics(metrics); err != nil {
		return err
	}
	sockets, err := o.listen()
	if err != nil {
		return err
	}
	defer sockets.close()

	front := &front{}
	server := &http.Server{
		Handler: front, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: logger.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(sockets.http) }()
	defer server.Close()

	registry := fsm.New()
	l, err := o.openLog(ctx, sockets, registry, logger)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to end while it waited for the others
		}
		return o.healing(err)
	}
	defer l.Close()

	o.registrar.ID, o.registrar.HTTPAddr, o.registrar.RaftAddr = o.id, sockets.httpAddr, sockets.raftAddr
	o.registrar.Logger, o.registrar.Metrics = logger, registrar.NewMetrics(metrics)
	node, err := registrar.New(o.registrar, l, registry)
	if err != nil {
		return usageError{err}
	}
	o.liveness.Logger, o.liveness.Passive = logger, !o.watch
	watchman, err := liveness.New(o.liveness, node)
	if err != nil {
		return usageError{err}
	}
	metrics.MustRegister(watchman)
	api := httpapi.New(httpapi.Config{
		Registrar: node, Watchman: watchman, Mastership: mastership.New(node, logger), Liveness: o.watch, Version: version(),
		ClientTLS: sockets.clientTLS(), MaxWatches: sockets.connections / 4 * 3, Metrics: metrics, Logger: logger,
	})
	front.set(api)
	if ready != nil {
		ready(sockets)
	}

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var work errgroup.Group
	work.Go(func() error {
		paceCollector(running)
		return nil
	})
	work.Go(func() error {
		defer stop()
		return node.Run(running)
	})
	work.Go(func() error {
		api.Announce(running, wire.Member{ID: o.id, RaftAddr: sockets.raftAddr, HTTPAddr: sockets.httpAddr, Format: fsm.Format})
		return nil
	})
	if o.replaces != "" {
		work.Go(func() error {
			o.replace(running, sockets, logger)
			return nil
		})
	}
	if o.inside != nil {
		work.Go(func() error {
			defer stop()
			return o.inside(running, node, watchman, l)
		})
	}
	select {
	case <-ctx.Done():
		logger.Info("asked to end")
	case <-running.Done(): // the log has ended, and Run says why
	case err := <-served:
		stop()
		return errors.Join(err, work.Wait())
	}
	o.end(node, api, server, logger)
	stop()
	return errors.Join(work.Wait(), l.Close())
}

// end hands leadership over, ends the streams, and lets requests that are under way finish.
func (o serverOptions) end(node *registrar.Registrar, api *httpapi.API, server *http.Server, logger hclog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), o.shutdown)
	defer cancel()
	if replicas, ok := node.Replicas(); ok && node.Status().Role == log.Leader {
		if list, err := replicas.List(ctx); err == nil && len(list) > 1 {
			if err := replicas.Transfer(ctx, ""); err != nil {
				logger.Warn("leadership was not handed over", "error", err)
			}
		}
	}
	api.Close()
	if err := server.Shutdown(ctx); err != nil {
		logger.Warn("some requests were cut off", "error", err)
	}
}

// joinCluster asks a running cluster to add this node, until it answers or ctx ends.
func (o serverOptions) joinCluster(ctx context.Context, sockets *sockets, logger hclog.Logger) (string, error) {
	c, err := sockets.client(o.join)
	if err != nil {
		return "", err
	}
	defer c.Close()
	logger.Info("asking to join", "address", o.join)
	joined, err := c.AddMember(ctx, wire.Member{ID: o.id, RaftAddr: sockets.raftAddr, HTTPAddr: sockets.httpAddr, Format: fsm.Format})
	if err != nil {
		return "", fmt.Errorf("join the cluster at %s: %w", o.join, err)
	}
	return joined.Cluster, nil
}

// replacePause is between two looks whether this node is a voter yet.
const replacePause = 200 * time.Millisecond

// replace has another member removed once this one is a voter, so that there are never fewer voters than before. It
// goes on until that is so: a restart in between begins it anew.
func (o serverOptions) replace(ctx context.Context, sockets *sockets, logger hclog.Logger) {
	c, err := sockets.client(sockets.httpAddr, o.join)
	if err != nil {
		logger.Error("the member to replace stays", "member", o.replaces, "error", err)
		return
	}
	defer c.Close()
	said := ""
	for {
		done, err := o.replaceOnce(ctx, c)
		switch {
		case done:
			logger.Info("replaced", "member", o.replaces, "by", o.id)
			return
		case err != nil && err.Error() != said && ctx.Err() == nil:
			said = err.Error()
			logger.Warn("the member to replace is there still, trying again", "member", o.replaces, "error", err)
		}
		select {
		case <-time.After(replacePause):
		case <-ctx.Done():
			return
		}
	}
}

// replaceOnce tells whether the member is gone.
func (o serverOptions) replaceOnce(ctx context.Context, c *client.Client) (gone bool, err error) {
	members, err := c.Members(ctx, registrar.Linearizable)
	if err != nil {
		return false, err
	}
	voter, there := false, false
	for _, m := range members.Members {
		voter = voter || m.ID == o.id && m.Role == "voter"
		there = there || m.ID == o.replaces
	}
	if !there || !voter {
		return !there, nil
	}
	return false, c.RemoveMember(ctx, o.replaces)
}

// client talks to members with this node's own certificate.
func (s *sockets) client(addresses ...string) (*client.Client, error) {
	cfg := client.Config{Addresses: addresses}
	if tlsFor := s.clientTLS(); tlsFor != nil {
		cfg.TLS = tlsFor("")
		for i, address := range cfg.Addresses {
			if !strings.Contains(address, "://") {
				cfg.Addresses[i] = "https://" + address
			}
		}
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// clientTLS is how this node reaches the others over HTTP.
func (s *sockets) clientTLS() func(host string) *tls.Config {
	if s.httpTLS == nil {
		return nil
	}
	return s.httpTLS.Client
}

// front answers before the log is open, when there is no API yet: a founder may wait for the others for long.
type front struct{ api atomic.Pointer[httpapi.API] }

func (f *front) set(api *httpapi.API) { f.api.Store(api) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if api := f.api.Load(); api != nil {
		api.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/livez" {
		fmt.Fprintln(w, `{"status":"live"}`)
		return
	}
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, `{"code":"no_leader","message":"this node is starting","happened":"no"}`)
}
