package httpapi

import (
	"net/http"
	"strconv"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// reading answers a read without parameters of its own from one State.
func (a *API) reading(w http.ResponseWriter, r *http.Request, write func(*stream, *fsm.State)) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	s := begin(w, state.Index())
	write(s, state)
	return s.end()
}

func (a *API) getFrameworks(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, writeFrameworks)
}

func writeFrameworks(s *stream, state *fsm.State) { list(s, "frameworks", state.Frameworks("")) }

func (a *API) getFramework(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	framework, ok := state.Framework(r.PathValue("id"))
	if !ok {
		return notFound("framework " + strconv.Quote(r.PathValue("id")) + " is unknown")
	}
	return answer(w, wire.Framework{Index: state.Index(), Framework: framework})
}

func (a *API) getQuotas(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, writeQuotas)
}

func writeQuotas(s *stream, state *fsm.State) { list(s, "quotas", state.Quotas()) }

func (a *API) getWeights(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, writeWeights)
}

func writeWeights(s *stream, state *fsm.State) { list(s, "weights", state.Weights()) }

func (a *API) getMaintenance(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, writeMaintenance)
}

func writeMaintenance(s *stream, state *fsm.State) {
	if schedule, ok := state.Schedule(); ok {
		s.member("windows", append([]fsm.Window{}, schedule.Windows...)) // never null
	}
	list(s, "machines", state.Machines())
}

func (a *API) getProviders(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, writeProviders)
}

func writeProviders(s *stream, state *fsm.State) {
	list(s, "providers", state.Providers(false))
	list(s, "removed_providers", state.Providers(true))
}

// getRegistry is everything that the digest covers.
func (a *API) getRegistry(w http.ResponseWriter, r *http.Request) error {
	return a.reading(w, r, func(s *stream, state *fsm.State) {
		s.member("digest", state.Digest())
		s.member("epoch", state.Epoch())
		if master, ok := state.Master(); ok {
			s.member("master", master)
		}
		list(s, "agents", state.AllAgents(""))
		writeFrameworks(s, state)
		writeQuotas(s, state)
		writeWeights(s, state)
		writeMaintenance(s, state)
		writeProviders(s, state)
		s.member("minimum_capabilities", append([]string{}, state.MinimumCapabilities()...))
	})
}
