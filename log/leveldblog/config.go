package leveldblog

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"
)

// Config says how to open a Log. ID and Dir are required.
type Config struct {
	// ID names the node for all time.
	ID string
	// Dir holds everything. It is made if need be, with mode 0700, and locked while the Log is open.
	Dir string
	// SnapshotBytes of commands since the last snapshot, and more than that snapshot's own size, make a new one.
	// Default 64 MiB. Smaller writes the state more often; larger makes a restart replay more.
	SnapshotBytes uint64
	// MaxCommand is the largest command in bytes. Default 32 MiB, at most 256 MiB: it is held in memory some times.
	MaxCommand int
	// Logger. Default none.
	Logger hclog.Logger
}

const (
	maxCommand = 256 << 20
	batchBytes = 4 << 20 // of commands that are written together; a single one may exceed it
)

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.ID != "", "leveldb log: no node id")
	check(c.Dir != "", "leveldb log: no directory")
	check(c.MaxCommand >= 0 && c.MaxCommand <= maxCommand, "largest command of %d bytes: at most %d", c.MaxCommand, maxCommand)
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	c.SnapshotBytes = cmp.Or(c.SnapshotBytes, 64<<20)
	c.MaxCommand = cmp.Or(c.MaxCommand, 32<<20)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}
