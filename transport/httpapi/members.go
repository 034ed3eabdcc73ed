package httpapi

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// replicas is how the membership changes, where the log has any.
func (a *API) replicas() (log.Replicas, error) {
	if replicas, ok := a.Registrar.Replicas(); ok {
		return replicas, nil
	}
	return nil, message{"this log has one member for ever", wire.ErrRefused}
}

func (a *API) getMembers(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	state, err := a.view(r)
	if err != nil {
		return err
	}
	status := a.Registrar.Status()
	answered := wire.Members{Index: state.Index(), Cluster: status.Cluster, Members: []wire.Member{}}
	replicas, err := a.replicas()
	if err != nil {
		answered.Members = append(answered.Members, describeMember(state, log.Replica{ID: status.ID, Voter: true, Leader: true, Match: status.Last}))
		return answer(w, answered)
	}
	replicaList, err := replicas.List(r.Context())
	if err != nil {
		return err
	}
	for _, replica := range replicaList {
		answered.Members = append(answered.Members, describeMember(state, replica))
	}
	return answer(w, answered)
}

func describeMember(state *fsm.State, replica log.Replica) wire.Member {
	m := wire.Member{ID: replica.ID, RaftAddr: replica.Addr, Role: "learner", Leader: replica.Leader, Match: replica.Match}
	if replica.Voter {
		m.Role = "voter"
	}
	if announced, ok := state.Member(replica.ID); ok {
		m.HTTPAddr, m.Format = announced.HTTPAddr, announced.Format
	}
	return m
}

// postMember adds a member, as a learner until it has caught up, or records that its addresses or format
// changed. Repeating it changes nothing. Without a format a known member keeps its own; a new one says it when it runs.
func (a *API) postMember(w http.ResponseWriter, r *http.Request) error {
	var request wire.Member
	if err := body(r, &request); err != nil {
		return err
	}
	state := a.Registrar.State()
	announce := announcement(request)
	if err := fsm.Check(announce); err != nil {
		return badRequest("%s", err)
	}
	self, _ := state.Member(a.Registrar.Status().ID)
	for name, address := range map[string]string{"raft_addr": request.RaftAddr, "http_addr": request.HTTPAddr} {
		if name == "raft_addr" && address == "" && self != nil && self.RaftAddr == "" {
			continue // the members of this log do not replicate to each other
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return badRequest("%s %q is not host:port", name, address)
		}
	}
	replicas, err := a.replicas()
	if err != nil {
		return err
	}
	if reads, format := announce.Reads(state), state.Format(); reads < format {
		return message{fmt.Sprintf("member %s reads formats up to %d, and this registry has come to %d: it needs a newer program",
			request.ID, reads, format), wire.ErrRefused}
	}
	if err := replicas.Add(r.Context(), log.Replica{ID: request.ID, Addr: request.RaftAddr}); err != nil {
		return err
	}
	index, err := a.propose(r.Context(), announce, a.author(r))
	if err != nil {
		return err
	}
	a.logger.Info("member announced", "member", request.ID, "by", a.author(r))
	return answer(w, wire.Joined{Index: index, Cluster: a.Registrar.Status().Cluster})
}

func (a *API) deleteMember(w http.ResponseWriter, r *http.Request) error {
	replicas, err := a.replicas()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if id == a.Registrar.Status().ID { // the next leader does it
		if err := replicas.Transfer(r.Context(), ""); err != nil {
			return fmt.Errorf("member %s leads and has to hand that over first: %w", id, err)
		}
		a.forward(w, r)
		return nil
	}
	if err := replicas.Remove(r.Context(), id); err != nil {
		return err
	}
	index, err := a.propose(r.Context(), fsm.ForgetMember{ID: id}, a.author(r))
	if err != nil {
		return err
	}
	a.logger.Warn("member removed", "member", id, "by", a.author(r))
	return answer(w, wire.Indexed{Index: index})
}

func (a *API) postLead(w http.ResponseWriter, r *http.Request) error {
	replicas, err := a.replicas()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if id != a.Registrar.Status().ID {
		if err := replicas.Transfer(r.Context(), id); err != nil {
			return err
		}
	}
	return answer(w, wire.Indexed{Index: a.Registrar.State().Index()})
}

// propose is one of the operations that are not accepted from outside.
func (a *API) propose(ctx context.Context, op fsm.Op, by string) (uint64, error) {
	result, err := a.Registrar.Propose(ctx, []fsm.Proposal{{Op: op, By: by}})
	if err != nil {
		return 0, err
	}
	if rejection := result.Outcomes[0].Rejection; rejection != nil {
		return 0, message{rejection.Error(), wire.ErrRefused}
	}
	return result.Index, nil
}
