// Package leveldblog is a log.Log of one node in a local LevelDB (syndtr/goleveldb): for a developer's machine, or
// a single master whose disk is what is trusted. It knows no registry.
//
// # What it promises
//
//   - An acknowledged command is on the disk, synced, before it is answered. Commands that wait together are written
//     and synced together.
//   - The end of the process at any point, and of the power, loses nothing that was acknowledged. A command whose
//     answer was lost is there whole or not at all.
//   - One process at a time: the directory is locked, and belongs to one node for all time.
//   - A byte that is not what was written is named, with its file or entry, when the log is opened. LevelDB passes
//     over what it cannot read at the end of its journal; here every entry has a checksum of its own, they must follow
//     each other without a gap, and a mark beside the database says how far they must reach.
//   - A write that fails halts the log, since nobody can know how much of it arrived. A snapshot that fails is an
//     alarm and is tried again.
//
// # What it does not
//
// There is no second copy: who loses the disk loses the registry, so take backups. The node leads from open to
// close; there is nothing to hand over and nobody to elect. A write that the disk never finishes is waited for.
//
// # A directory's life
//
//	identity.json         whose it is
//	lock                  held while it is open
//	db/                   LevelDB: an entry a command, and which snapshot counts (store.go)
//	acknowledged          a mark: the entries reach at least so far; written without a sync, so it may be behind
//	snapshots/INDEX       the machine's state at an index, with a checksum (snapshot.go)
//
// A snapshot is written beside the log, made durable, and begins to count in the one write that also drops the
// entries it holds. What does not count is removed when the log is opened.
//
// # Goroutines
//
//	work    from Open to Close: takes what was proposed, writes it, hands it to the machine (work.go)
//	keep    one at a time, now and then: writes a snapshot while work goes on
//
// Where does a new line go? What is in LevelDB, and what may be wrong with it: store.go. What a caller is told:
// leveldblog.go. The order of things: work.go.
package leveldblog
