package fsm

import "errors"

// Kind names an operation: on the wire, in the API and on the command line.
type Kind string

// Op is one change to the registry: a plain struct whose fields are what the log keeps. The vocabulary is
// closed, in vocabulary.go.
type Op interface {
	Kind() Kind
	// check says what is wrong with the op whatever the State: it is bad input, refused before it is proposed.
	check() error
	// apply checks against the State first, then writes, and tells whether anything changed. Its error is a
	// *Rejection.
	apply(tx *Txn) (changed bool, err error)
}

// Code says in one word why an operation was refused; programs decide by it. A code is never renamed.
type Code string

// The codes that an operation's own rules give, by the state that it meets.
const (
	AlreadyAdmitted  Code = "already_admitted"
	UnknownAgent     Code = "unknown_agent"
	AgentUnreachable Code = "agent_unreachable"
	AgentGone        Code = "agent_gone"
	AlreadyGone      Code = "already_gone"
	NotDraining      Code = "not_draining"
	InvalidQuota     Code = "invalid_quota"
	InvalidWeight    Code = "invalid_weight"
	InvalidSchedule  Code = "invalid_schedule"
	AlreadyKnown     Code = "already_known"
	RemovedProvider  Code = "removed_provider"
	UnknownProvider  Code = "unknown_provider"
	UnknownFramework Code = "unknown_framework"
	Completed        Code = "completed"
	Immutable        Code = "immutable"
	UnknownMember    Code = "unknown_member"
	Unsupported      Code = "format_unsupported"
)

// The codes that any operation may get.
const (
	BadRequest     Code = "bad_request"     // wrong whatever the State
	Superseded     Code = "superseded"      // its epoch is not the current one
	RequestReused  Code = "request_reused"  // its request id belonged to a different operation
	RequestExpired Code = "request_expired" // it may be a repeat from before the window of request ids
	RegistryFull   Code = "registry_full"   // it would grow a registry that has reached its limit
	Internal       Code = "internal"        // applying it panicked; what it wrote was dropped
)

// Rejection is why an operation was refused. It changed nothing, on any node, and never will.
type Rejection struct {
	Kind   Kind
	Code   Code
	Reason string
}

func (r *Rejection) Error() string { return string(r.Kind) + " rejected: " + r.Reason }

// Outcome is what one operation did. Without a Rejection it left the State as the operation asks; Changed
// tells whether it had to change anything for that.
type Outcome struct {
	Changed   bool
	Rejection *Rejection
}

// ErrTooLarge is wrapped by what Check and Encode say of an operation, or an info in it, that exceeds its limit.
var ErrTooLarge = errors.New("too large")

// Sizes that bound what a State may hold, in bytes. The edge refuses what exceeds them, and so does the
// machine.
const (
	MaxID        = 256
	MaxInfo      = 64 << 10
	MaxOp        = 4 << 20
	MaxRequestID = 128
	MaxText      = 1024 // a reason, or who asked
)
