// Package memlog is a log.Log in memory: for tests, and for a server that need not remember. Everything is
// gone with the process; within it, a Storage outlives the Logs opened on it, so reopening, following and
// catching up from a snapshot are real.
//
// One node leads as soon as it is open. Several may share a Storage: one leads, the others apply what it
// appends, and when the leader closes or halts the one that has been open longest takes over. Every reign
// starts with an entry that carries no command, so indexes have gaps, as they do on Raft.
//
// Tests spoil it on purpose: OnPropose decides the fate of a proposal after it was handed over, LoseReign
// and TakeReign move leadership, Halt stops a node as a broken disk would.
//
// It never touches a disk or a network, and it cannot lose an acknowledged command while the Storage lives.
//
// Goroutines: each Log owns two, from Open to Close. The applier alone calls the machine's Apply and
// Restore; the keeper takes a snapshot whenever the entries outgrow the last one. Storage has none: its
// mutex guards entries, snapshot and who leads, and each change closes a channel that wakes the Logs.
package memlog
