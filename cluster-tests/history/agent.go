package history

// Agent is one agent as clients see it. The zero value is one that the registry does not know.
type Agent struct {
	Phase       string // admitted, unreachable, gone; empty: unknown
	Value       string // of its info
	Drain       string // draining, drained; empty: neither
	Terms       string // of the drain
	Deactivated bool
}

const (
	admitted    = "admitted"
	unreachable = "unreachable"
	gone        = "gone"
	draining    = "draining"
	drained     = "drained"
)

// refusal is the code with which an agent's phase refuses.
var refusal = map[string]string{"": "unknown_agent", admitted: "already_admitted", unreachable: "agent_unreachable", gone: "agent_gone"}

// Do is what an operation does to an agent, and what it is answered. It does not look at epochs and limits.
func (a Agent) Do(c *Call) (next Agent, outcome string) {
	known := a.Phase == admitted || a.Phase == unreachable
	switch c.Kind {
	case "agent.admit":
		if a.Phase != "" {
			return a, refusal[a.Phase]
		}
		return Agent{Phase: admitted, Value: c.Value}, Changed
	case "agent.update":
		if a.Phase != admitted {
			return a, refusal[a.Phase]
		}
		next = a
		next.Value = c.Value
	case "agent.reachable":
		switch a.Phase {
		case "":
			return Agent{Phase: admitted, Value: c.Value}, Changed
		case gone:
			return a, refusal[gone]
		case admitted:
			return a, Unchanged
		}
		next = a
		next.Phase, next.Value = admitted, c.Value
	case "agent.unreachable":
		if a.Phase != admitted {
			return a, refusal[a.Phase]
		}
		next = a
		next.Phase = unreachable
	case "agent.gone":
		switch a.Phase {
		case "":
			return a, refusal[""]
		case gone:
			return a, "already_gone"
		}
		next = Agent{Phase: gone, Value: a.Value}
	case "agent.remove":
		if a.Phase != admitted {
			return a, refusal[a.Phase]
		}
		next = Agent{}
	case "agent.drain":
		if next = a; known {
			next.Drain, next.Terms, next.Deactivated = draining, c.Terms, true
		}
	case "agent.drained":
		if next = a; known {
			if a.Drain == "" {
				return a, "not_draining"
			}
			next.Drain = drained
		}
	case "agent.deactivate":
		if next = a; known {
			next.Deactivated = true
		}
	case "agent.reactivate":
		if next = a; known {
			next.Drain, next.Terms, next.Deactivated = "", "", false
		}
	default:
		return a, "no such kind: " + c.Kind
	}
	if next == a {
		return a, Unchanged
	}
	return next, Changed
}

// harmless are outcomes that any operation may have and that change nothing.
var harmless = map[string]bool{"superseded": true, "registry_full": true, "request_expired": true}

// explains tells whether an agent can answer a call as it was answered, and what it is then. A call that nobody
// knows the outcome of is done.
func (a Agent) explains(c *Call) (bool, Agent) {
	if c.Kind == Read {
		if c.Outcome == NotFound {
			return a == Agent{}, a
		}
		return a == c.Found, a
	}
	if harmless[c.Outcome] && c.Answer == Yes {
		return c.Outcome != "superseded" || c.Epoch != 0, a
	}
	next, outcome := a.Do(c)
	return c.Answer == Perhaps || outcome == c.Outcome, next
}
