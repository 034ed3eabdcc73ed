package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/log"
)

// What a member that passes a request on says of it.
const (
	headerForwarded = "Registrard-Forwarded" // its id
	headerBy        = "Registrard-By"        // who asked
)

// While nobody is known to lead, or this node has been elected and does not take writes yet, a request waits here for as
// long as an election takes as a rule: whoever asks would only ask again, and perhaps somebody who does not answer at all.
const (
	electionPatience = time.Second
	electionPause    = 10 * time.Millisecond // between two looks; one costs little
)

// elected waits until this node leads or knows who else does, and tells whether it is this node.
func (a *API) elected(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	for !a.Registrar.Leading() && ctx.Err() == nil {
		if s := a.Registrar.Status(); s.Leader != "" && s.Leader != s.ID {
			return false
		}
		select {
		case <-time.After(electionPause):
		case <-a.Registrar.Done():
			return false
		case <-ctx.Done():
		}
	}
	return a.Registrar.Leading()
}

// forward passes a request on to the leader, unless somebody did so already: nodes that hold each other for the
// leader must not send a request in circles.
func (a *API) forward(w http.ResponseWriter, r *http.Request) {
	status := a.Registrar.Status()
	if by := r.Header.Get(headerForwarded); by != "" {
		fail(w, message{fmt.Sprintf("%s does not lead, though %s says so", status.ID, by), log.ErrNotLeader})
		return
	}
	leader, ok := a.Registrar.State().Member(status.Leader)
	switch {
	case status.Leader == "" || status.Leader == status.ID:
		fail(w, message{"no leader is known", log.ErrNotLeader})
		return
	case !ok || leader.HTTPAddr == "":
		fail(w, message{fmt.Sprintf("the leader %s has announced no address yet", status.Leader), log.ErrNotLeader})
		return
	}
	a.metrics.forwarded.Inc()
	ctx, cancel := a.following(r.Context(), status.Leader)
	defer cancel()
	a.proxy.pass(w, r.WithContext(ctx), status.ID, a.author(r), leader.HTTPAddr)
}

// followPause is between two looks at who leads while the leader answers; one costs nothing.
const followPause = 50 * time.Millisecond

// following is a context that ends when somebody else is found to lead: one that was paused or cut off may never answer, or
// never end its answer. A long answer, such as a backup's, ends then too, and is seen to be cut short.
func (a *API) following(ctx context.Context, leader string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var look func()
	look = func() {
		if ctx.Err() != nil {
			return
		}
		if now := a.Registrar.Status().Leader; now != "" && now != leader {
			cancel(fmt.Errorf("%s leads now", now))
			return
		}
		time.AfterFunc(followPause, look)
	}
	first := time.AfterFunc(followPause, look)
	return ctx, func() {
		cancel(nil)
		first.Stop()
	}
}

// forwarder keeps connections to the other members.
type forwarder struct {
	scheme    string
	transport *http.Transport
	logger    hclog.Logger
}

func newForwarder(clientTLS func(host string) *tls.Config, logger hclog.Logger) *forwarder {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	f := &forwarder{scheme: "http", logger: logger, transport: &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
	}}
	if clientTLS != nil {
		f.scheme = "https"
		f.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{NetDialer: dialer, Config: clientTLS(host)}
			return d.DialContext(ctx, network, addr)
		}
	}
	return f
}

func (f *forwarder) close() { f.transport.CloseIdleConnections() }

// pass has another member answer. Where that fails before a byte of the request was sent, it did not happen;
// after that, nobody here can know what became of a write.
func (f *forwarder) pass(w http.ResponseWriter, r *http.Request, self, by, address string) {
	var sent atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	proxy := &httputil.ReverseProxy{
		Transport:     f.transport,
		FlushInterval: -1,
		ErrorLog:      f.logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(&url.URL{Scheme: f.scheme, Host: address})
			out.Out.Header.Set(headerForwarded, self)
			out.Out.Header.Set(headerBy, by)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			var large *http.MaxBytesError
			switch {
			case errors.As(err, &large):
				fail(w, tooLarge("the request is over the limit of %d bytes", large.Limit))
			case sent.Load() && r.Method != http.MethodGet:
				fail(w, message{fmt.Sprintf("the leader at %s did not answer: %v", address, cmp.Or(context.Cause(ctx), err)), log.ErrUncertain})
			default:
				fail(w, message{fmt.Sprintf("the leader at %s cannot be reached: %v", address, err), log.ErrNotLeader})
			}
		},
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}
