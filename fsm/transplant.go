package fsm

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// How far a restored registry is ahead of the one that was backed up, which may have gone on since: no index that
// this one gave, and no epoch that it granted, is ever given again.
const (
	transplantIndex = 1_000_000_000
	transplantEpoch = 1_000_000
)

// About is what a snapshot says of itself.
type About struct {
	Index  uint64
	Time   Time
	Format uint64
	Epoch  uint64
	Digest string
	Chain  string
	Agents [3]int // admitted, unreachable, gone
	Bytes  uint64 // of all records, as encoded
}

func (s *State) about() About {
	return About{
		Index: s.index, Time: s.time, Format: s.format, Epoch: s.epoch, Digest: s.Digest(), Chain: s.Chain(),
		Agents: [3]int{s.Count(Admitted), s.Count(Unreachable), s.Count(Gone)}, Bytes: s.bytes,
	}
}

// ReadSnapshot reads a snapshot to the end, verifies all of it, and tells what it is.
func ReadSnapshot(from io.Reader) (About, error) {
	var work scratch
	s, err := readSnapshot(from, &work)
	if err != nil {
		return About{}, err
	}
	return s.about(), nil
}

// Transplant reads a snapshot, verifies it, and returns the same registry for another cluster, as a snapshot to be
// written. Its records and so its digest are the same. It goes on at an index that is a thousand million ahead and
// leaves nothing valid that the cluster it is from may have given out since:
//
//   - every position of a watcher is too old, since no change is kept;
//   - no epoch is valid until somebody claims mastership, and that one is a million ahead;
//   - a request id that is not remembered is refused where whoever asks says that it is older (see Proposal.Seen);
//   - no member is known.
func Transplant(from io.Reader) (io.WriterTo, About, error) {
	var work scratch
	s, err := readSnapshot(from, &work)
	if err != nil {
		return nil, About{}, err
	}
	s.index += transplantIndex
	s.leap += transplantEpoch
	s.reign = 0 // whatever reign was, it is over
	s.requestsLost = s.index
	s.changes = ring[Change]{first: s.changes.next, next: s.changes.next}
	s.changesLost = s.index
	s.members = newTable[*Member](sectionMembers)
	s.chain = sha256.Sum256(fmt.Appendf(nil, "transplanted to %d: %x", s.index, s.chain))
	return snapshot{s}, s.about(), nil
}
