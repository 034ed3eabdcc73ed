// Package fsm is the registry of a cluster's agents as a finite-state machine: frames of operations in,
// outcomes out. It is pure: no clock, no randomness, no goroutine, no logger, no I/O but the bytes handed to
// it. The same frames at the same indexes make the same State, byte for byte, on every node.
//
// The life of an agent; operations are written on the arrows, and what is not drawn is refused or changes
// nothing (docs/operations.md has the table):
//
//	          admit, reachable                unreachable
//	(unknown) ----------------> [ admitted ] <-----------> [ unreachable ]
//	    ^                         |   |        reachable      |       |
//	    +------- remove ----------+   |                       |       |
//	    |                             +-------- gone ---------+       |
//	    |                                         |                   |
//	    +------- prune -------- [ gone ] <--------+                   |
//	    +------- prune ----------------------------------------------+
//
// An admitted or unreachable agent may also be draining, drained or deactivated; it stays so over a change
// between those two phases.
//
// How a frame becomes a State:
//
//	op.go, vocabulary.go   what an operation is, and the table of them all
//	op_*.go, agent.go, framework.go   each operation with the records that it writes
//	info.go, resource.go   agent objects in canonical form, made at the edge before anything is proposed
//	fields.go, encoder.go, decoder.go   one list of fields is the encoding, both ways
//	frame.go               what one log entry holds
//	registry.go            Registry: applies frames, shows States
//	state.go, record.go    State: tables of immutable records over copy-on-write trees
//	txn.go                 Txn: the only way a State changes; a refused operation is undone
//	requests.go, changes.go, ring.go   the window of request ids, the changes that watchers resume from
//	digest.go              what replicas compare
//	op_checkpoint.go       when they compare it, and what one that differs says
//	snapshot.go            a State as bytes
//
// An operation checks first and then writes; what it says of the past (the time, the order) comes from the
// frame. A line that decides whether something may happen to a record belongs to that operation's file; when to
// ask for it (liveness, pruning) is registrar's; how it is spelled in JSON over HTTP is the struct's tags, and
// everything else about HTTP is transport/httpapi's.
package fsm
