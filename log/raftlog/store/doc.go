// Package store keeps on disk what one Raft node must not forget: its log, its term and vote, its
// snapshots. The libraries below it trust the disk; this package does not. It verifies everything when it
// is opened, and what fails is named by file and, in the log, by index. It never repairs by dropping what
// may have been acknowledged, and never panics over a file.
//
//	log.go, segments.go, entry.go   raft-wal, with a checksum in each entry and a list of segments of our own
//	vote.go                         raft-boltdb: term and vote as one value in one transaction
//	snapshots.go, preflight.go      raft's file snapshots; do they and the log still make a whole?
//	mark.go                         two numbers in a file beside another, saying how much must be in that
//	guard.go                        the first write that fails or stalls is the last
//
// On disk, directories 0700 and files 0600:
//
//	<log>/segments, high-water, <base index>-<id>.wal
//	<vote>, <vote>.mark
//	<dir>/snapshots/<term>-<index>-<milliseconds>/{meta.json,state.bin}; <dir>/damaged for those set aside
//
// Whoever opens the stores has locked the data directory before. Opening a log or vote that another process
// has open fails at once all the same.
//
// # What cannot be detected
//
//   - After a power failure the last entries acknowledged before it, if exactly they are damaged: the
//     high-water mark is not synced with each append, for that would double its price, so the disk may hold
//     an older one, and a damaged end then looks like the unacknowledged end that every crash may leave.
//     Killing the process loses no mark; power loss without damage loses no entry.
//   - Files replaced by older ones that belong together: a restored backup of the directory is a node that
//     has forgotten its votes, and nothing in the directory can say so.
//   - A disk that acknowledges a sync and does not write, until what it lost is read.
//   - A change that leaves a CRC32C as it was: one in four billion by chance, any by intent.
//   - Damage done while the process runs is seen when the entry is next read, and that may be at the next
//     start. Bytes that mean nothing, padding and indexes of segments not yet sealed, may change unseen.
//   - A snapshot that is not the newest is verified when it is needed.
//
// Goroutines: a Guard owns one, from NewGuard to Close; raft-wal owns one per open Log.
package store
