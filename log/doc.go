// Package log is the contract between a state machine and whatever keeps its commands in order: ordered
// durable bytes with one proposer at a time. It holds interfaces and errors only, uses nothing but the
// standard library, and knows no registry: the type parameter is all it sees of what a command answers.
//
// A reign is a context.Context that lives exactly as long as this node leads. Work that only a leader may
// do takes the reign as its context and so cannot outlive it by mistake.
//
// A backend is one directory below: memlog keeps the commands in memory, raftlog on a majority of disks.
// Each passes the conformance suite in logtest, and its own doc.go says what it promises and what it
// cannot. A line that turns a backend's error into "no" or "perhaps" belongs to that backend; a line that
// knows what a command means belongs to none of them.
package log
