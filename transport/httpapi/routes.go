package httpapi

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// who says which node a route must be answered by.
type who int

const (
	self   who = iota // the node that was asked
	leader            // the leader: others pass the request on
	reader            // the leader, unless a stale read will do
)

// handler writes an answer, or returns an error and has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *API) route() {
	for _, route := range []struct {
		pattern string
		by      who
		handle  handler
	}{
		{"POST /v1/operations", leader, a.postOperations},
		{"GET /v1/agents", reader, a.getAgents},
		{"GET /v1/agents/{id}", reader, a.getAgent},
		{"POST /v1/agents/register", leader, a.postRegister},
		{"POST /v1/heartbeats", leader, a.postHeartbeats},
		{"GET /v1/removals", leader, a.getRemovals},
		{"POST /v1/removals/approve", leader, a.postApprove},
		{"POST /v1/removals/hold", leader, a.postHold},
		{"GET /v1/registry", reader, a.getRegistry},
		{"GET /v1/frameworks", reader, a.getFrameworks},
		{"GET /v1/frameworks/{id}", reader, a.getFramework},
		{"GET /v1/quotas", reader, a.getQuotas},
		{"GET /v1/weights", reader, a.getWeights},
		{"GET /v1/maintenance", reader, a.getMaintenance},
		{"GET /v1/providers", reader, a.getProviders},
		{"GET /v1/backup", reader, a.getBackup},
		{"GET /v1/watch", self, a.getWatch},
		{"GET /v1/master", reader, a.getMaster},
		{"POST /v1/master", leader, a.postMaster},
		{"POST /v1/master/renew", leader, a.postRenew},
		{"DELETE /v1/master", leader, a.deleteMaster},
		{"GET /v1/members", reader, a.getMembers},
		{"POST /v1/members", leader, a.postMember},
		{"DELETE /v1/members/{id}", leader, a.deleteMember},
		{"POST /v1/members/{id}/lead", leader, a.postLead},
		{"GET /v1/status", self, a.getStatus},
		{"GET /livez", self, a.getLive},
		{"GET /readyz", self, a.getReady},
	} {
		a.mux.Handle(route.pattern, a.measured(route.pattern, a.answering(route.by, route.handle)))
	}
	if a.Metrics != nil {
		a.mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	}
	a.mux.Handle("/", a.measured("other", a.answering(self, a.notFound)))
}

// answering passes on what another node must answer, and turns errors into answers.
func (a *API) answering(by who, handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.limit(w, r); err != nil {
			fail(w, err)
			return
		}
		elsewhere := by == leader
		if by == reader {
			c, err := consistency(r)
			if err != nil {
				fail(w, err)
				return
			}
			elsewhere = c == registrar.Linearizable
		}
		if elsewhere && !a.Registrar.Leading() && !a.elected(r.Context()) {
			a.forward(w, r)
			return
		}
		defer a.hold(r)()
		if err := handle(w, r); err != nil {
			fail(w, err)
		}
	}
}

// notFound tells a wrong path from a wrong method.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) error {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := a.mux.Handler(probe); pattern != "/" && pattern != "" {
			w.Header().Add("Allow", method)
		}
	}
	if allowed := w.Header().Values("Allow"); len(allowed) > 0 {
		write(w, http.StatusMethodNotAllowed, wire.Error{Code: "bad_request", Message: r.Method + " is not what " + r.URL.Path + " takes", Happened: wire.No})
		return nil
	}
	return notFound("no such path: " + r.URL.Path)
}
