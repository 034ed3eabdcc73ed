// Package raftlog is a log.Log on hashicorp/raft: the commands are on the disks of a majority of members
// before a proposal is answered, and the members may change while it runs. It knows no registry; what a
// command means is the machine's affair.
//
// # What it promises beyond log.Log
//
//   - An acknowledged command survives the loss of any minority, and of power everywhere.
//   - ReadIndex is linearizable: it is served once a majority answered a heartbeat that was started after the
//     read came, in the term of the reign (read.go). raft.VerifyLeader alone does not give that.
//   - A reign ends no later than the leader steps down, and two reigns are never merged into one: reigns
//     follow raft's transitions in line (reign.go). A leader cut off from the others steps down within
//     HeartbeatTimeout; until then it may still propose, and the answer is then log.ErrUncertain.
//   - A machine that fails, a disk that fails or stalls: the member halts. It neither sends nor hears
//     anything from then on, so it neither leads nor votes; nothing more is applied and no snapshot taken; Err
//     says why. The process goes on, and reads of the machine as it is remain possible.
//   - Nothing can be founded twice, and nobody votes with its memory lost: see below.
//
// # What it does not
//
// It does not follow a leader's address for callers, retry, or batch: the proposer packs commands, and one
// or two in flight are best. A member that comes back at another
// address is found by the others; members that all do so at once do not find each other again.
// A member that was removed says so once in its log when its leader falls silent, and serves what it has; one
// that was removed while it was down is not told, and stays without a leader.
//
// # A directory's life
//
//	identity.json   member, cluster, and the nonce drawn when the directory was made (identity.go)
//	lock            held while the Log is open
//	log/ vote.db snapshots/   package store
//
// An empty directory either joins or founds. A founder (founding.go) draws its nonce, then asks every other
// initial member over the peer port until each has answered that it is empty and was given the same list; the
// cluster's id is a hash over all ids and nonces, so all founders find the same one and no two foundings do.
// Only then is the first configuration written. A founder that crashed half-way finds its nonce in what the
// others say and goes on; one that finds another nonce there has lost its directory, and refuses. A restart
// looks at none of this, but for a check that the initial members which answer are of the same cluster.
//
// A member that joins is a learner, counted in no majority, until it has caught up; the leader promotes it,
// whoever was leader when it was added (replicas.go).
//
// # Goroutines
//
//	keep       from Open to Close: takes a snapshot when the log has grown enough (keep.go)
//	succeed    from Open to Close: stands for election when the leader's process has died (succession.go)
//	rule       one per reign: opens it, then proves the leadership for readers
//	tend       one per reign: makes voters of learners, follows members that moved
//	reopen     now and then: starts raft again after a snapshot that it cannot go on from (issue 697)
//	retire     once: waits for what is in flight, then stops raft
//	fly        one per call that raft has not answered yet; raft's futures know no deadline
//
// Raft has its own: its main loop calls observe and the stores, its machine goroutine calls the machine.
// The Log's mutex is held for a few fields at a time and never while anything waits. Close ends them all.
//
// # Where a line belongs
//
// What raft's error means to a caller: propose.go. When this member leads: reign.go. Handing leadership over:
// transfer.go. How it ends: close.go. What raft must not see
// of the disk or the machine: stores.go, machine.go. What is on the disk: package store. Bytes on the wire:
// package transport.
package raftlog
