package httpapi

import (
	"net/http"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func (a *API) getStatus(w http.ResponseWriter, r *http.Request) error {
	state := a.Registrar.State()
	status := a.Registrar.Status()
	liveness := "off"
	if a.Liveness {
		liveness = "on"
	}
	// Digest, chain and counts are of one State, whatever was applied meanwhile.
	return answer(w, wire.Status{
		ID: status.ID, Cluster: status.Cluster, Role: string(status.Role), Leader: status.Leader, Term: status.Term,
		Index: state.Index(), Commit: max(status.Commit, state.Index()), Last: max(status.Last, state.Index()),
		Reign: state.Reign(), Epoch: state.Epoch(), Format: state.Format(), Queued: status.Queued,
		Agents: wire.Counts{Admitted: state.Count(fsm.Admitted), Unreachable: state.Count(fsm.Unreachable), Gone: state.Count(fsm.Gone)},
		Bytes:  state.Bytes(), Digest: state.Digest(), Chain: state.Chain(), Version: a.Version, Liveness: liveness,
	})
}

// getLive says that the process serves requests and its log goes on.
func (a *API) getLive(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-a.Registrar.Done():
		return message{"the log has ended", log.ErrHalted}
	default:
		return answer(w, health{"live"})
	}
}

// getReady says that a leader is known and that what was committed when this node started is applied.
func (a *API) getReady(w http.ResponseWriter, _ *http.Request) error {
	status := a.Registrar.Status()
	if status.Leader == "" {
		return message{"no leader is known", log.ErrNotLeader}
	}
	if !status.CaughtUp {
		return message{"what was committed before this node started is not applied yet", log.ErrNotLeader}
	}
	return answer(w, health{"ready"})
}

type health struct {
	Status string `json:"status"`
}
