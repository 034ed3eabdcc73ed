package log

import "errors"

// What a log can answer. Only ErrUncertain leaves open whether the command happened; every other error of
// Propose says that it did not and never will.
var (
	// ErrNotLeader: this node does not lead; ask another.
	ErrNotLeader = errors.New("not the leader")
	// ErrUncertain: the command was handed over and nobody here can know whether it became part of the log.
	ErrUncertain = errors.New("outcome unknown")
	// ErrTooLarge: the command exceeds what the backend can hold in one entry.
	ErrTooLarge = errors.New("command too large")
	// ErrHalted: the machine or the disk failed, and this node has stopped for good. It wraps the reason.
	ErrHalted = errors.New("log halted")
	// ErrClosed: the log was closed on purpose.
	ErrClosed = errors.New("log closed")
	// ErrUnknownReplica: no replica has that id.
	ErrUnknownReplica = errors.New("unknown replica")
)
