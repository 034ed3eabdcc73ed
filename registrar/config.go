package registrar

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config says who a Registrar is and what bounds it. Start from Defaults; the zero value is not valid.
type Config struct {
	// ID is the member's, 1 to 256 bytes. A new leader announces it with the addresses.
	ID string
	// HTTPAddr and RaftAddr are where others reach this member, host:port; empty where it is not reached.
	HTTPAddr string
	RaftAddr string

	// QueueOps and QueueBytes bound what waits to be proposed; what exceeds them is refused with ErrBusy. A
	// request larger than QueueBytes is taken when nothing else waits. Defaults 16384 and 64 MiB.
	QueueOps   int
	QueueBytes int
	// BatchOps and BatchBytes bound the joining of requests into one log entry; a single request may exceed
	// them. Defaults 512 and 256 KiB.
	BatchOps   int
	BatchBytes int
	// InFlight is how many entries may be proposed and not yet applied. Default 1.
	InFlight int

	// PruneInterval is how often a leader looks for what to forget. Default 15m, as in Mesos.
	PruneInterval time.Duration
	// MaxAge is how long unreachable and gone agents are remembered at least, by the log's own time since the
	// change of phase, and MaxCount how many of each are remembered at most, the youngest. Defaults two weeks
	// and 102400, as in Mesos.
	MaxAge   time.Duration
	MaxCount int
	// FrameworkMaxAge and FrameworkMaxCount are the same for completed frameworks. The age should exceed MaxAge:
	// an agent that comes back must still learn that its framework has completed. Defaults four weeks and 10240.
	FrameworkMaxAge   time.Duration
	FrameworkMaxCount int
	// MaxRegistryBytes is the size of the State above which operations that grow it are refused. Default 4 GiB.
	MaxRegistryBytes uint64

	// CompareInterval is how often a leader compares the members' registries. Default 10s.
	CompareInterval time.Duration

	// Logger may be nil.
	Logger hclog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Now is the wall clock that frames are stamped with. Default time.Now.
	Now func() time.Time
}

// Defaults returns a configuration that is complete but for the addresses.
func Defaults(id string) Config {
	return Config{
		ID:                id,
		QueueOps:          16384,
		QueueBytes:        64 << 20,
		BatchOps:          512,
		BatchBytes:        256 << 10,
		InFlight:          1,
		PruneInterval:     15 * time.Minute,
		MaxAge:            14 * 24 * time.Hour,
		MaxCount:          102400,
		FrameworkMaxAge:   28 * 24 * time.Hour,
		FrameworkMaxCount: 10240,
		MaxRegistryBytes:  4 << 30,
		CompareInterval:   10 * time.Second,
	}
}

// Validate returns every problem, joined.
func (c Config) Validate() error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	complain(c.ID == "" || len(c.ID) > 256, "member id of %d bytes is not between 1 and 256", len(c.ID))
	complain(c.QueueOps < 1 || c.QueueBytes < 1, "a queue of %d operations and %d bytes takes nothing", c.QueueOps, c.QueueBytes)
	complain(c.BatchOps < 1 || c.BatchBytes < 1, "a batch of %d operations and %d bytes takes nothing", c.BatchOps, c.BatchBytes)
	complain(c.InFlight < 1 || c.InFlight > 16, "entries in flight %d are not between 1 and 16", c.InFlight)
	complain(c.PruneInterval < time.Millisecond, "prune interval %s is shorter than 1ms", c.PruneInterval)
	complain(c.CompareInterval < time.Millisecond, "compare interval %s is shorter than 1ms", c.CompareInterval)
	complain(c.MaxAge < 0 || c.FrameworkMaxAge < 0, "an age is negative")
	complain(c.MaxCount < 0 || c.FrameworkMaxCount < 0, "a count is negative")
	return errors.Join(problems...)
}
