package leveldblog

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// Restore makes a new log in cfg.Dir, which must be empty, that begins with a snapshot at index. It returns the id of
// its cluster, a new one. After an error the directory is of no use.
func Restore(cfg Config, index uint64, state io.WriterTo) (cluster string, err error) {
	if err := cfg.Validate(); err != nil {
		return "", err
	}
	lock, err := disk.ClaimEmpty(cfg.Dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	id, err := identify(cfg.Dir, cfg.ID)
	if err != nil {
		return "", err
	}
	s, err := openStore(cfg.Dir, true, nil)
	if err != nil {
		return "", err
	}
	ref, err := s.writeSnapshot(index, state)
	if err == nil {
		err = s.adopt(ref)
	}
	if err == nil {
		s.last = index
		err = s.acknowledge()
	}
	if err = errors.Join(err, s.close()); err != nil {
		return "", err
	}
	id.Ready = true
	return id.Cluster, id.write(cfg.Dir)
}

// Visit shows what the stopped node in dir keeps.
func Visit(dir string, v log.Visitor) (stored log.Stored, err error) {
	id, err := readIdentity(dir)
	if err != nil {
		return stored, err
	}
	stored = log.Stored{Backend: backend, Node: id.Node, Cluster: id.Cluster}
	unlock, err := disk.Peek(dir)
	if err != nil {
		return stored, err
	}
	defer unlock()
	path := filepath.Join(dir, databaseName)
	s := &store{dir: dir}
	if s.db, err = leveldb.OpenFile(path, &opt.Options{ErrorIfMissing: true, ReadOnly: true, Strict: opt.DefaultStrict}); err != nil {
		return stored, disk.Damaged(path, "%w", err)
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	if err := s.readSnapshotRef(); err != nil {
		return stored, err
	}
	if s.snapshot.Index > 0 {
		if err := s.restore(func(r io.Reader) error { return v.Snapshot(s.snapshot.Index, true, r) }); err != nil {
			return stored, err
		}
	}
	s.last = s.snapshot.Index
	err = s.entries(func(index uint64, command []byte) error {
		s.last = index
		return v.Entry(index, 0, command)
	})
	if err != nil {
		return stored, err
	}
	mark := filepath.Join(dir, markName)
	content, err := os.ReadFile(mark)
	if err != nil {
		return stored, disk.Damaged(mark, "%w", err)
	}
	reach, err := disk.ReadMark(mark, content)
	if err == nil && s.last < reach {
		err = disk.Damaged(path, "entries end at index %d, and %d was acknowledged", s.last, reach)
	}
	return stored, err
}
