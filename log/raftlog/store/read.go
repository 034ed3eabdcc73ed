package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/disk"
)

// A StoredSnapshot is one that is only read: raft's own store writes to a directory when it opens one.
type StoredSnapshot struct {
	Index, Term uint64
	dir         string
}

// StoredSnapshots lists the finished snapshots below dir, oldest first.
func StoredSnapshots(dir string) (list []StoredSnapshot, err error) {
	s := &Snapshots{dir: filepath.Join(dir, "snapshots")}
	names, err := s.names()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, n := range slices.Backward(names) {
		list = append(list, StoredSnapshot{n.index, n.term, filepath.Join(s.dir, n.id)})
	}
	return list, err
}

// Read verifies all of the snapshot and then reads its state.
func (s StoredSnapshot) Read(read func(io.Reader) error) error {
	content, err := os.ReadFile(filepath.Join(s.dir, metaFile))
	if err != nil {
		return disk.Damaged(s.dir, "%w", err)
	}
	var meta struct {
		raft.SnapshotMeta
		CRC []byte
	}
	if err := json.Unmarshal(content, &meta); err != nil {
		return disk.Damaged(filepath.Join(s.dir, metaFile), "%w", err)
	}
	if meta.Index != s.Index || meta.Term != s.Term {
		return disk.Damaged(filepath.Join(s.dir, metaFile), "it is of another snapshot")
	}
	path := filepath.Join(s.dir, stateFile)
	state, err := os.Open(path)
	if err != nil {
		return disk.Damaged(path, "%w", err)
	}
	defer state.Close()
	sum := crc64.New(crc64.MakeTable(crc64.ECMA)) // raft's
	size, err := io.Copy(sum, state)
	switch {
	case err != nil:
		return disk.Damaged(path, "%w", err)
	case size != meta.Size:
		return disk.Damaged(path, "%d bytes, and %d were written", size, meta.Size)
	case !bytes.Equal(sum.Sum(nil), meta.CRC):
		return disk.Damaged(path, "checksum does not match")
	}
	if _, err := state.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := checkHeader(&meta.SnapshotMeta, state); err != nil {
		return disk.Damaged(path, "%w", err)
	}
	if err := read(state); err != nil {
		return disk.Damaged(path, "%w", err)
	}
	return nil
}
