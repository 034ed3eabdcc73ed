package history

import (
	"math"
	"sync"
	"time"
)

// Answer is what a client knows of its call in the end.
type Answer uint8

// The answers. A call that has not been answered is Perhaps.
const (
	Perhaps Answer = iota // nobody knows
	Yes                   // it was answered; Outcome says with what
	No                    // it did not happen and never will
)

func (a Answer) String() string { return [...]string{"perhaps", "yes", "no"}[a] }

// The kinds of calls that are no operation of the vocabulary.
const (
	Read     = "read"     // of one agent
	Register = "register" // an agent's own registration
	Claim    = "claim"    // of mastership; Epoch is the one granted
)

// The outcomes of operations, beside the codes of rejections, and of reads.
const (
	Changed   = "changed"
	Unchanged = "unchanged"
	Found     = "found"
	NotFound  = "not_found"
)

// Call is one thing that a client asked.
type Call struct {
	Client    int
	Kind      string // "agent.admit", or one of the above
	Agent     string
	Value     string // stands for the agent's info, where one is given
	Terms     string // of a drain
	RequestID string
	Epoch     uint64
	// Session names what a stale read was asked of: one client, one life of one node. Empty: the read, or the
	// write, is linearizable.
	Session string

	Answer  Answer
	Outcome string
	Index   uint64 // that the answer reflects; with Yes; 0: it did not say
	Found   Agent  // by a read

	// Began and Ended order all events of a history; Ended is Never until there is an answer.
	Began, Ended uint64
	// At is when it was asked and Took how long that lasted, for people: checkers do not look at clocks.
	At, Took time.Duration
}

// Never is the end of a call that was not answered, or with nothing.
const Never = math.MaxUint64

// Succeeded tells whether an operation left the agent as it asks.
func (c *Call) Succeeded() bool {
	return c.Answer == Yes && (c.Outcome == Changed || c.Outcome == Unchanged)
}

// History is the calls of many clients. Its methods may be called from any goroutine.
type History struct {
	start time.Time

	mu    sync.Mutex
	clock uint64
	calls []*Call
}

// New begins a history.
func New() *History { return &History{start: time.Now()} }

// Begin notes that a client is about to ask.
func (h *History) Begin(c Call) *Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	c.Began, c.Ended, c.At = h.clock, Never, time.Since(h.start)
	h.calls = append(h.calls, &c)
	return &c
}

// End notes the answer, which fill writes into the call.
func (h *History) End(c *Call, fill func(*Call)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	fill(c)
	c.Took = time.Since(h.start) - c.At
	if c.Answer != Perhaps {
		c.Ended = h.clock
	}
}

// Calls are all calls so far, in the order in which they began. Those that are not answered yet are Perhaps.
func (h *History) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := make([]Call, len(h.calls))
	for i, c := range h.calls {
		calls[i] = *c
	}
	return calls
}

// Start is when the history began.
func (h *History) Start() time.Time { return h.start }
