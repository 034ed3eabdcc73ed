package httpapi

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func (a *API) getMaster(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	answered := wire.Master{Index: state.Index(), Epoch: state.Epoch()}
	answered.Master, _ = state.Master()
	return answer(w, answered)
}

func (a *API) postMaster(w http.ResponseWriter, r *http.Request) error {
	var request wire.Claim
	if err := body(r, &request); err != nil {
		return err
	}
	if request.TTL == 0 {
		return badRequest("ttl is missing")
	}
	var named struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(request.Info, &named); err != nil {
		return message{wire.Explain("info", err), cause(err)}
	}
	info, err := fsm.CanonicalObject(request.Info)
	if err != nil {
		return badRequest("info: %s", err)
	}
	claim := fsm.ClaimMastership{ID: named.ID, Info: info, TTL: request.TTL}
	if err := fsm.Check(claim); err != nil {
		return message{"info: " + err.Error(), cause(err)}
	}
	grant, err := a.Mastership.Claim(r.Context(), claim.ID, claim.Info, time.Duration(claim.TTL), a.author(r))
	if err != nil {
		return err
	}
	return answer(w, grant)
}

func (a *API) postRenew(w http.ResponseWriter, r *http.Request) error {
	var request wire.Renewal
	if err := body(r, &request); err != nil {
		return err
	}
	if err := a.Mastership.Renew(r.Context(), request.Epoch); err != nil {
		return err
	}
	return answer(w, wire.Indexed{Index: a.Registrar.State().Index()})
}

func (a *API) deleteMaster(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "epoch"); err != nil {
		return err
	}
	epoch, given, err := number(r, "epoch")
	if err != nil {
		return err
	}
	if !given {
		return badRequest("epoch is missing")
	}
	index, err := a.Mastership.Resign(r.Context(), epoch, a.author(r))
	if err != nil {
		return err
	}
	return answer(w, wire.Indexed{Index: index})
}
