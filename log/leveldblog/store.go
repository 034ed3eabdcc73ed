package leveldblog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/registrard/registrard/log/disk"
)

// Keys: an entry is 'e' and its index, big-endian, so that they are kept in order; 's' names the snapshot that counts.
const entryPrefix = 'e'

var snapshotKey = []byte{'s'}

func entryKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{entryPrefix}, index) }

// Every value begins with a checksum of its key and the rest.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, disk.Castagnoli), disk.Castagnoli, value)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum), value...)
}

func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, errors.New("too short for a checksum")
	}
	value := sealed[4:]
	if binary.BigEndian.Uint32(sealed) != crc32.Update(crc32.Checksum(key, disk.Castagnoli), disk.Castagnoli, value) {
		return nil, errors.New("checksum does not match")
	}
	return value, nil
}

// store is what is kept: entries from the snapshot's index on, and which snapshot that is.
type store struct {
	dir      string
	db       *leveldb.DB
	acked    *disk.Mark
	snapshot snapshotRef
	last     uint64 // index of the newest entry
}

// openStore opens what is there, or makes it where fresh says that there must be nothing. under replaces the files
// of the database in tests; nil: those of the directory.
func openStore(dir string, fresh bool, under storage.Storage) (_ *store, err error) {
	s := &store{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	path, markPath := filepath.Join(dir, databaseName), filepath.Join(dir, markName)
	if fresh {
		if under == nil { // what a process left that ended while it made the database holds nothing
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
		}
		if err := disk.CreateMark(markPath, 0, 0); err != nil {
			return nil, err
		}
	}
	reach := uint64(0)
	if s.acked, reach, _, err = disk.OpenMark(markPath); errors.Is(err, fs.ErrNotExist) {
		return nil, disk.Damaged(markPath, "it is missing")
	} else if err != nil {
		return nil, err
	}
	options := &opt.Options{ErrorIfMissing: !fresh, Strict: opt.DefaultStrict}
	if under != nil {
		s.db, err = leveldb.Open(under, options)
	} else {
		s.db, err = leveldb.OpenFile(path, options)
	}
	if err != nil {
		return nil, disk.Damaged(path, "%w", err)
	}
	if err := s.readSnapshotRef(); err != nil {
		return nil, err
	}
	if err := s.tidySnapshots(); err != nil {
		return nil, err
	}
	s.last = s.snapshot.Index
	err = s.entries(func(index uint64, _ []byte) error {
		s.last = index
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.last < reach {
		return nil, disk.Damaged(path, "entries end at index %d, and %d was acknowledged", s.last, reach)
	}
	return s, nil
}

// entries gives every entry after the snapshot, in order, checked.
func (s *store) entries(each func(index uint64, command []byte) error) error {
	path := filepath.Join(s.dir, databaseName)
	all := s.db.NewIterator(util.BytesPrefix([]byte{entryPrefix}), nil)
	defer all.Release()
	next := s.snapshot.Index + 1
	for all.Next() {
		key := all.Key()
		if len(key) != 9 {
			return disk.Damaged(path, "a key of %d bytes", len(key))
		}
		index := binary.BigEndian.Uint64(key[1:])
		if index <= s.snapshot.Index {
			continue // about to be dropped when the process ended
		}
		if index != next {
			return disk.Damaged(path, "entry %d is missing: after %d comes %d", next, next-1, index)
		}
		command, err := unseal(key, all.Value())
		if err != nil {
			return disk.Damaged(path, "entry %d: %w", index, err)
		}
		if err := each(index, append([]byte(nil), command...)); err != nil {
			return err
		}
		next++
	}
	if err := all.Error(); err != nil {
		return disk.Damaged(path, "entry %d: %w", next, err)
	}
	return nil
}

// append makes commands durable, together, at the next indexes. On an error nobody can know whether they are.
func (s *store) append(commands [][]byte) error {
	batch := new(leveldb.Batch)
	for i, command := range commands {
		key := entryKey(s.last + 1 + uint64(i))
		batch.Put(key, seal(key, command))
	}
	if err := s.db.Write(batch, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("write %d entries: %w", len(commands), err)
	}
	s.last += uint64(len(commands))
	return nil
}

// acknowledge notes that entries up to last may be answered: from now on, fewer are damage.
func (s *store) acknowledge() error { return s.acked.Write(s.last, 0, false) }

// close may be called on a store that was opened in part.
func (s *store) close() (err error) {
	if s.db != nil {
		err = s.db.Close()
		s.db = nil
	}
	if s.acked != nil {
		err = errors.Join(err, s.acked.Close())
		s.acked = nil
	}
	return err
}
