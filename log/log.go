package log

import (
	"context"
	"io"
	"time"
)

// StateMachine is what a Log drives, from one goroutine and in index order. R is what one command
// answers; the log carries it from Apply to Propose and never looks inside.
type StateMachine[R any] interface {
	// Apply consumes the command at index, which is above the last one's; gaps are entries that carried
	// no command. An error means that this node cannot go on: the log halts before the command and takes
	// no more snapshots. A refused operation is a result, not an error. The machine may keep command.
	Apply(index uint64, command []byte) (R, error)
	// Snapshot captures the state after the last Apply. It must be cheap: nothing is applied meanwhile.
	// What it returns is written later, from another goroutine, while Apply goes on.
	Snapshot() (io.WriterTo, error)
	// Restore replaces the state by what an earlier Snapshot wrote. On an error the state stays as it was.
	Restore(r io.Reader) error
}

// Log is an ordered, durable sequence of commands with one proposer at a time. All methods may be called
// from any goroutine.
type Log[R any] interface {
	// Lead waits until this node leads and has applied everything committed before. The context that it
	// returns is the reign: it ends when the node stops leading, and its cause says why. Lead fails with
	// ctx's error, or with the reason once the log has halted or closed.
	Lead(ctx context.Context) (reign context.Context, err error)
	// Propose appends the command and returns once this node's machine has applied it. An error answers
	// "did it happen?": one that wraps ErrUncertain means perhaps, every other means no, and never will.
	// ctx bounds the waiting; when it ends after the command was handed over, the answer is ErrUncertain.
	// The log keeps command: nobody may change it any more.
	Propose(ctx context.Context, command []byte) (R, error)
	// ReadIndex returns once everything acknowledged before the call is applied here, with the index of
	// the last command applied. It fails with ErrNotLeader where this node cannot know that.
	ReadIndex(ctx context.Context) (uint64, error)
	// Status never blocks.
	Status() Status
	// Snapshot writes the machine's state now and lets the log behind it be dropped.
	Snapshot(ctx context.Context) error
	// Done is closed when the log has halted or was closed; Err then says why, and is nil for a Close.
	Done() <-chan struct{}
	Err() error
	// Close ends the reign, if any, and releases what the log holds. It may be called more than once.
	Close() error
}

// Replicas is implemented by logs whose set of replicas can change while they run; find it by type
// assertion. Every method but List must be called on the leader and fails with ErrNotLeader elsewhere.
type Replicas interface {
	// List returns the replicas in ID order, as this node knows them.
	List(ctx context.Context) ([]Replica, error)
	// Add makes r a learner, and a voter once it has caught up, which may be after Add has returned.
	// A known ID with another address moves that replica; with the same address it changes nothing.
	Add(ctx context.Context, r Replica) error
	// Remove takes the replica out. Removing an unknown one fails with ErrUnknownReplica.
	Remove(ctx context.Context, id string) error
	// Transfer hands leadership to the voter named, or to the one best caught up where to is empty.
	Transfer(ctx context.Context, to string) error
}

// Clocks is implemented by logs that can ask the other replicas what time it is; find it by type assertion.
type Clocks interface {
	// Offsets asks every other replica for its wall clock and says, by id, how far each that answered before
	// ctx ended is ahead of this node's, to within the time that its answer took.
	Offsets(ctx context.Context) map[string]time.Duration
}

// Witness is implemented by state machines whose replicas can be compared; find it by type assertion.
type Witness interface {
	// Testimony says what this replica holds, in 8 KiB at most and in a form of the machine's own. It may be called
	// from any goroutine and must not wait.
	Testimony() []byte
}

// Witnesses is implemented by logs that can ask the other replicas for what their machines testify; find it by type
// assertion.
type Witnesses interface {
	// Testimonies asks every other replica and returns, by id, what those said that answered before ctx ended.
	Testimonies(ctx context.Context) map[string][]byte
}

// Replica is one copy of the log.
type Replica struct {
	ID     string
	Addr   string // where other replicas reach it
	Voter  bool   // false: a learner, which counts for no majority
	Leader bool
	Match  uint64 // last index known to be on it; the leader knows, others say 0
}

// Role is what a node is in its log.
type Role string

// The roles. A log with a single node leads as soon as it is open.
const (
	Leader    Role = "leader"
	Follower  Role = "follower"
	Candidate Role = "candidate"
)

// Status is what one node knows of the log at one moment.
type Status struct {
	ID      string // this node
	Cluster string // the cluster's id, made once when it was founded
	Role    Role
	Leader  string // id of the leader, empty while unknown
	Term    uint64 // 0 where the backend has none
	Applied uint64 // index of the last command applied here; entries without a command do not count
	Commit  uint64 // index of the last entry known to be committed
	Last    uint64 // index of the last entry stored here
	// CaughtUp: everything that was committed when this node first learnt of a leader is applied here. Once
	// true it stays so.
	CaughtUp bool
}
