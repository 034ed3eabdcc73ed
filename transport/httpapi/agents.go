package httpapi

import (
	"iter"
	"net/http"
	"strconv"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

const (
	defaultLimit = 1_000
	maxLimit     = 100_000
)

// view reads the registry as consistently as the request asks.
func (a *API) view(r *http.Request) (*fsm.State, error) {
	c, err := consistency(r)
	if err != nil {
		return nil, err
	}
	return a.Registrar.View(r.Context(), c)
}

func (a *API) getAgent(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	agent, ok := state.Agent(r.PathValue("id"))
	if !ok {
		return notFound("agent " + strconv.Quote(r.PathValue("id")) + " is unknown")
	}
	return answer(w, wire.Agent{Index: state.Index(), Agent: agent})
}

// agentList is what GET /v1/agents asks for.
type agentList struct {
	phase   fsm.Phase // 0: all
	bySince bool
	after   string
	seq     uint64 // after, by since
	limit   int
}

func (a *API) getAgents(w http.ResponseWriter, r *http.Request) error {
	asked, err := parseAgentList(r)
	if err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	s := begin(w, state.Index())
	next, count := "", 0
	var last *fsm.Agent
	list(s, "agents", func(yield func(*fsm.Agent) bool) {
		for agent := range asked.from(state) {
			if count == asked.limit {
				next = asked.place(last)
				return
			}
			count, last = count+1, agent
			if !yield(agent) {
				return
			}
		}
	})
	if next != "" {
		s.member("next", next)
	}
	return s.end()
}

func parseAgentList(r *http.Request) (asked agentList, err error) {
	if err := query(r, "phase", "after", "limit", "order"); err != nil {
		return asked, err
	}
	q := r.URL.Query()
	if phase := q.Get("phase"); phase != "" {
		if err := asked.phase.UnmarshalText([]byte(phase)); err != nil {
			return asked, badRequest("%s", err)
		}
	}
	limit, given, err := number(r, "limit")
	switch {
	case err != nil:
		return asked, err
	case !given:
		limit = defaultLimit
	case limit == 0 || limit > maxLimit:
		return asked, badRequest("limit %d is not between 1 and %d", limit, maxLimit)
	}
	asked.limit = int(limit)
	switch order := q.Get("order"); order {
	case "", "id":
		asked.after = q.Get("after")
	case "since":
		asked.bySince = true
		if asked.seq, _, err = number(r, "after"); err != nil {
			return asked, badRequest("after must be the \"next\" of a list in the same order")
		}
	default:
		return asked, badRequest("order %q is neither id nor since", order)
	}
	return asked, nil
}

func (l agentList) from(s *fsm.State) iter.Seq[*fsm.Agent] {
	switch {
	case l.bySince && l.phase == 0:
		return s.AllAgentsBySince(l.seq)
	case l.bySince:
		return s.AgentsBySince(l.phase, l.seq)
	case l.phase == 0:
		return s.AllAgents(l.after)
	default:
		return s.Agents(l.phase, l.after)
	}
}

// place is what a list that was cut behind an agent goes on from.
func (l agentList) place(a *fsm.Agent) string {
	if l.bySince {
		return strconv.FormatUint(a.Seq, 10)
	}
	return a.ID
}
