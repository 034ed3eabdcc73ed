package httpapi

import (
	"net/http"

	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func (a *API) postRegister(w http.ResponseWriter, r *http.Request) error {
	var request wire.Registration
	if err := body(r, &request); err != nil {
		return err
	}
	if request.Agent.ID == "" {
		return badRequest("agent is missing")
	}
	registration, err := a.Watchman.Register(r.Context(), request.Agent, a.author(r))
	if err != nil {
		return err
	}
	return answer(w, registration)
}

func (a *API) postHeartbeats(w http.ResponseWriter, r *http.Request) error {
	var request wire.Heartbeats
	if err := body(r, &request); err != nil {
		return err
	}
	heard, err := a.Watchman.Heard(request.Agents)
	if err != nil {
		return err
	}
	return answer(w, wire.Heard{Index: a.Registrar.State().Index(), Unknown: heard.Unknown, Unreachable: heard.Unreachable, Gone: heard.Gone})
}

// removals is where the removal of silent agents stands.
type removals struct {
	Index uint64 `json:"index"`
	liveness.Removals
}

func (a *API) getRemovals(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, removals{a.Registrar.State().Index(), a.Watchman.Removals()})
}

func (a *API) postApprove(w http.ResponseWriter, r *http.Request) error {
	return a.decide(w, r, "approved", a.Watchman.Approve)
}

func (a *API) postHold(w http.ResponseWriter, r *http.Request) error {
	return a.decide(w, r, "put on hold", a.Watchman.Hold)
}

// decide is an operator's word on removals.
func (a *API) decide(w http.ResponseWriter, r *http.Request, what string, do func() error) error {
	if err := do(); err != nil {
		return err
	}
	a.logger.Warn("removals "+what, "by", a.author(r))
	return a.getRemovals(w, r)
}
