// Package zklog is a log.Log on ZooKeeper, for those who run an ensemble already: several members share what is kept
// below one root, one of them leads, and any of them may. It knows no registry.
//
// # What it promises
//
//   - An acknowledged command is on the disks of a majority of the ensemble.
//   - Entries follow each other without a gap. Each is made in the one request that moves the head, which names the
//     version of the head that it goes by and the candidate that its leader leads by. A deposed leader can append
//     nothing from the moment in which its candidate is gone, whatever it believes itself (propose.go).
//   - "No" and "perhaps" are true. A request whose answer is lost is repeated, since it happens once or never; when the
//     session ends before there is an answer, the next one looks at what is there: every entry carries a nonce. What
//     waits for that is answered late rather than wrong. "Perhaps" is left where the caller gives up, where the Log ends,
//     and where a snapshot has taken the entry's place.
//   - ReadIndex is linearizable: a majority commits, after the read came, that this leader's candidate is there.
//     ZooKeeper's sync is not enough, since a deposed leader of the ensemble may answer it for a while.
//   - A reign ends no later than the session may: nine tenths of its timeout after the last request that was answered had
//     been sent (session.go).
//   - Every entry, part, snapshot and head has a checksum of ours. What is not what was written halts the Log, and so
//     does a head that is behind what this member has applied, or a root that another cluster has taken.
//   - A member's id is one process's at a time.
//
// # What it does not
//
// It is as available as the ensemble: while that has no majority nothing is acknowledged, and members wait for it, at
// start as well. ZooKeeper keeps everything in memory, on every server: two snapshots at times, and the commands since the
// one before the last. A leader that is killed is missed after the session timeout; one that is closed, at once. The set
// of members is whoever runs: there is nothing to add or remove. Leadership goes to who has waited longest and cannot be
// handed to one by name. A server that takes no connection is left for another after a second, whatever the timeout.
//
// # What is below the root
//
//	identity             whose it is: the cluster's id, made with all the others
//	head                 the newest entry, who leads by which candidate, which snapshot counts (nodes.go)
//	log/INDEX            an entry: a command, or how many parts its blob has
//	blobs/NAME/PART      a command or snapshot that is too large for one node (blob.go)
//	members/m-ID         who runs; ephemeral
//	candidates/ID-SEQ    the queue for leadership; ephemeral, in the order in which they came
//	restoring            a Restore is not finished; there is no identity then, and no member takes what is there for a log
//
// A blob is written first and counts once something names it: an entry, or the head. What nothing names is removed by the
// next leader. Entries are dropped up to the snapshot before the last, a few at a time; a member that is further
// behind starts from the snapshot.
//
// # Goroutines
//
//	work    from Open to Close: session after session, it follows, then leads (work.go, rule.go)
//	prove   one per session: asks again and again, and ends the session when nobody answers (session.go)
//	write   one at a time, now and then: writes a snapshot while work goes on (keep.go)
//
// The client library has its own; its calls wait while there is no connection and return when the session has ended.
//
// Where does a new line go? How the library is tamed: session.go, link.go. What is in a node: nodes.go, blob.go,
// identity.go. What an error means to a caller: propose.go. The order of things: work.go, rule.go. What is done
// without a member: offline.go.
package zklog
