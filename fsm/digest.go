package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// sum is four 64-bit lanes of SHA-256 over one record, or the lane-wise sum over many. Adding and taking away
// is all that a change costs, the order of records plays no part, and equal sets have equal sums. It tells
// replicas apart that differ by mistake; it is no defence against somebody who chooses records to collide.
type sum [4]uint64

func sumOf(b []byte) (s sum) {
	h := sha256.Sum256(b)
	for i := range s {
		s[i] = binary.BigEndian.Uint64(h[8*i:])
	}
	return s
}

func (s *sum) add(o sum) {
	for i := range s {
		s[i] += o[i]
	}
}

func (s *sum) sub(o sum) {
	for i := range s {
		s[i] -= o[i]
	}
}

func (s sum) bytes() (b [32]byte) {
	for i := range s {
		binary.BigEndian.PutUint64(b[8*i:], s[i])
	}
	return b
}

// digest closes the sum over all records with the epoch, which belongs to no record.
func (s *State) digest() [32]byte {
	b := s.sum.bytes()
	return sha256.Sum256(binary.BigEndian.AppendUint64(b[:], s.epoch))
}

// Digest is over what the registry says, in hex: every agent, framework, quota, weight, window, machine and
// provider, the master and the epoch. Nothing of the log goes into it: no index, term, member or request id.
// Equal registries have equal digests, whatever way they came to be. It costs nothing to read.
func (s *State) Digest() string {
	d := s.digest()
	return hex.EncodeToString(d[:])
}

// Chain is over the history, in hex: each frame applied, what it answered, changed and left behind, on top of
// the chain before it. Replicas that differ at an index have gone apart at or before it.
func (s *State) Chain() string { return hex.EncodeToString(s.chain[:]) }
