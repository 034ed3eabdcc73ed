package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/registrard/registrard/log/disk"
)

// The keys that raft uses.
const (
	keyTerm      = "CurrentTerm"
	keyVoteTerm  = "LastVoteTerm"
	keyCandidate = "LastVoteCand"
)

// ballot is all that raft keeps beside its log: the term, and who got this node's vote in which term.
type ballot struct {
	number    uint64 // counts ballots written
	term      uint64
	voteTerm  uint64
	candidate []byte
}

func (b ballot) encode() []byte {
	buf := binary.LittleEndian.AppendUint64(nil, b.number)
	buf = binary.LittleEndian.AppendUint64(buf, b.term)
	buf = binary.LittleEndian.AppendUint64(buf, b.voteTerm)
	buf = append(buf, b.candidate...)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, disk.Castagnoli))
}

func decodeBallot(buf []byte) (ballot, error) {
	end := len(buf) - 4
	if end < 24 {
		return ballot{}, fmt.Errorf("a record of %d bytes", len(buf))
	}
	if binary.LittleEndian.Uint32(buf[end:]) != crc32.Checksum(buf[:end], disk.Castagnoli) {
		return ballot{}, errors.New("checksum does not match")
	}
	return ballot{
		number:    binary.LittleEndian.Uint64(buf),
		term:      binary.LittleEndian.Uint64(buf[8:]),
		voteTerm:  binary.LittleEndian.Uint64(buf[16:]),
		candidate: slices.Clone(buf[24:end]),
	}, nil
}

// Vote keeps raft's term and vote in a raft-boltdb file, as one value in one transaction: raft writes
// LastVoteTerm and LastVoteCand apart, and a crash between them would leave a vote for nobody that counts
// as a vote for anybody. It implements raft.StableStore, for raft's keys only. Reads come from memory.
//
// Beside the file is a mark with the number of the last ballot and the checksum of the whole file, which is
// small. So damage is seen before bbolt, which maps the file and trusts it, gets to read it; and a file
// that is one transaction behind is seen too. While a ballot is being written the mark says so instead.
type Vote struct {
	path  string
	guard *Guard
	bolt  *raftboltdb.BoltStore
	mark  *disk.Mark

	mu       sync.Mutex
	ballot   ballot
	voteTerm uint64 // a vote's term, waiting for its candidate
}

// writing is what the mark holds in place of a checksum while the file is being changed.
const writing = 0

func summed(c uint32) uint64 { return 1<<32 | uint64(c) }

var ballotKey = []byte("ballot")

// OpenVote opens the file, or makes it together with its mark, path with ".mark" added. It fails with
// disk.ErrDamaged, naming the file, when the last ballot is not there and whole, and when another process has it
// open.
func OpenVote(path string, guard *Guard) (*Vote, error) {
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	v := &Vote{path: path, guard: guard}
	if err := v.open(); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Vote) open() error {
	markPath := v.path + ".mark"
	stored, err := disk.Exists(v.path)
	if err != nil {
		return err
	}
	if marked, err := disk.Exists(markPath); err != nil {
		return err
	} else if stored && !marked {
		return disk.Damaged(markPath, "missing, though %s is there", filepath.Base(v.path))
	} else if !marked {
		if err := disk.CreateMark(markPath, 0, writing); err != nil {
			return err
		}
	}
	mark, number, sum, err := disk.OpenMark(markPath)
	if err != nil {
		return err
	}
	v.mark = mark
	switch {
	case number == 0 && sum == writing:
		// Nothing was ever answered from this file, and bbolt may have died making it.
		if err := os.RemoveAll(v.path); err != nil {
			return err
		}
	case !stored:
		return disk.Damaged(v.path, "missing, though ballot %d was written", number)
	case sum != writing:
		if now, err := v.sum(); err != nil {
			return err
		} else if now != sum {
			return disk.Damaged(v.path, "checksum does not match")
		}
		// Opening the file writes to it.
		if err := v.mark.Write(number, writing, true); err != nil {
			return err
		}
	}
	if err := v.load(); err != nil {
		return err
	}
	if err := disk.SyncDir(filepath.Dir(v.path)); err != nil { // bbolt does not
		return err
	}
	if n := v.ballot.number; n != number && (sum != writing || n != number+1) {
		return disk.Damaged(v.path, "it ends at ballot %d, but ballot %d was written", n, number)
	}
	return v.settle(v.ballot.number)
}

// load opens the bolt file and reads the ballot in it.
func (v *Vote) load() error {
	err := safely(v.path, func() (err error) {
		v.bolt, err = raftboltdb.New(raftboltdb.Options{
			Path:        v.path,
			BoltOptions: &bbolt.Options{Timeout: time.Second},
		})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s is in use by another process: %w", v.path, err)
	case errors.Is(err, disk.ErrDamaged), errors.Is(err, os.ErrPermission):
		return err
	case err != nil:
		return disk.Damaged(v.path, "%w", err)
	}
	return safely(v.path, func() error {
		value, err := v.bolt.Get(ballotKey)
		if errors.Is(err, raftboltdb.ErrKeyNotFound) {
			return nil // ballot 0
		}
		if err == nil {
			v.ballot, err = decodeBallot(value)
		}
		if err != nil {
			return disk.Damaged(v.path, "%w", err)
		}
		return nil
	})
}

// sum is the checksum of the whole file, as the mark holds it.
func (v *Vote) sum() (uint64, error) {
	content, err := os.ReadFile(v.path)
	if err != nil {
		return 0, err
	}
	return summed(crc32.Checksum(content, disk.Castagnoli)), nil
}

// settle notes that the file holds ballot number, and nothing is being written.
func (v *Vote) settle(number uint64) error {
	sum, err := v.sum()
	if err != nil {
		return err
	}
	return v.mark.Write(number, sum, true)
}

// save makes b the ballot. The caller holds mu.
func (v *Vote) save(b ballot) error {
	b.number = v.ballot.number + 1
	err := v.guard.Do("write term and vote to "+v.path, func() error {
		if err := v.mark.Write(v.ballot.number, writing, true); err != nil {
			return err
		}
		err := safely(v.path, func() error { return v.bolt.Set(ballotKey, b.encode()) })
		if err != nil {
			return err
		}
		return v.settle(b.number)
	})
	if err == nil {
		v.ballot = b
	}
	return err
}

// SetUint64 implements raft.StableStore. The term of a vote is kept back until its candidate is known.
func (v *Vote) SetUint64(key []byte, value uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(key) {
	case keyTerm:
		b := v.ballot
		b.term = value
		return v.save(b)
	case keyVoteTerm:
		v.voteTerm = value
		return v.guard.Err()
	}
	return fmt.Errorf("%s keeps no number %q", v.path, key)
}

// Set implements raft.StableStore.
func (v *Vote) Set(key, value []byte) error {
	if string(key) != keyCandidate {
		return fmt.Errorf("%s keeps no value %q", v.path, key)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	b := v.ballot
	b.voteTerm, b.candidate = max(v.voteTerm, b.voteTerm), slices.Clone(value)
	return v.save(b)
}

// GetUint64 implements raft.StableStore. The error for what was never set is "not found", to the letter:
// raft compares the text.
func (v *Vote) GetUint64(key []byte) (uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := uint64(0)
	switch string(key) {
	case keyTerm:
		n = v.ballot.term
	case keyVoteTerm:
		n = v.ballot.voteTerm
	}
	if n == 0 {
		return 0, raftboltdb.ErrKeyNotFound
	}
	return n, nil
}

// Get implements raft.StableStore.
func (v *Vote) Get(key []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if string(key) != keyCandidate || len(v.ballot.candidate) == 0 {
		return nil, raftboltdb.ErrKeyNotFound
	}
	return slices.Clone(v.ballot.candidate), nil
}

// Close lets go of the files. The Guard is the caller's.
func (v *Vote) Close() error {
	var err error
	if v.bolt != nil {
		err = v.bolt.Close()
	}
	if v.mark != nil {
		err = errors.Join(err, v.mark.Close())
	}
	return err
}
