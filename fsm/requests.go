package fsm

import "github.com/registrard/registrard/cluster-tests/planted"

// RequestWindow is how many operations that carried a request id are remembered.
const RequestWindow = 100_000

// request is what the window remembers of one operation: enough to know a repeat and to answer it.
type request struct {
	ID      string
	Op      [32]byte // hash of kind and body
	Index   uint64
	Changed bool
	Kind    Kind // of the rejection, as the next two; empty code: none
	Code    Code
	Reason  string
}

func (r *request) fields(to []any) []any {
	return append(to, &r.ID, &r.Op, &r.Index, &r.Changed, &r.Kind, &r.Code, &r.Reason)
}

func (r *request) outcome() Outcome {
	if r.Code == "" {
		return Outcome{Changed: r.Changed}
	}
	return Outcome{Rejection: &Rejection{Kind: r.Kind, Code: r.Code, Reason: r.Reason}}
}

// requests finds remembered operations by request id. It belongs to whoever applies; the ring itself is part
// of the State.
type requests map[string]uint64

// answer tells what a repeat is answered with; found is false for an operation to be applied.
func (r requests) answer(s *State, p *Proposal, op [32]byte) (o Outcome, found bool) {
	if n, ok := r[p.RequestID]; ok && !planted.DoubleApply {
		first := s.requests.at(n)
		if first.Op != op {
			return reject(p.Op.Kind(), RequestReused, "request id %s belongs to a different operation", p.RequestID), true
		}
		return first.outcome(), true
	}
	if p.Seen != 0 && p.Seen < s.requestsLost {
		return reject(p.Op.Kind(), RequestExpired, "request id %s is not remembered, and may be older than what is: seen %d, remembered after %d",
			p.RequestID, p.Seen, s.requestsLost), true
	}
	return Outcome{}, false
}

// remember keeps an operation's outcome and forgets the oldest one.
func (r requests) remember(s *State, id string, op [32]byte, o Outcome) {
	kept := request{ID: id, Op: op, Index: s.index, Changed: o.Changed}
	if o.Rejection != nil {
		kept.Kind, kept.Code, kept.Reason = o.Rejection.Kind, o.Rejection.Code, o.Rejection.Reason
	}
	r[id] = s.requests.next
	s.requests.push(kept)
	if s.requests.len() > RequestWindow {
		oldest := s.requests.at(s.requests.first)
		delete(r, oldest.ID)
		s.requestsLost = max(s.requestsLost, oldest.Index) // a restored registry has lost more than it knows
		s.requests.drop(s.requests.first + 1)
	}
}
