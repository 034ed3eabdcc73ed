package log

import (
	"errors"
	"io"
)

// ErrOtherLog: the directory belongs to another backend than the one that was asked.
var ErrOtherLog = errors.New("another kind of log")

// Stored says whose log it is that a backend has kept.
type Stored struct {
	Backend string
	Node    string
	Cluster string
}

// Visitor is shown what a backend has kept, each part once and in order. An error of its own ends the visit. A
// backend's Visit function does not change what it reads, and fails where anything is damaged, naming it.
type Visitor interface {
	// Snapshot is a snapshot that leads up to index, the oldest one first; newest says whether a restart would use it.
	Snapshot(index uint64, newest bool, state io.Reader) error
	// Entry is one that is kept in the log, whether or not a snapshot holds it too; command is nil for entries that carry
	// none. term is 0 where the backend has none.
	Entry(index, term uint64, command []byte) error
}
