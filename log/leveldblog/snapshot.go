package leveldblog

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/registrard/registrard/log/disk"
)

// snapshotRef is the snapshot that counts: its file has this size and checksum, or is damaged.
type snapshotRef struct {
	Index uint64 `json:"index"` // every entry up to it is in the snapshot
	Size  int64  `json:"size"`
	CRC   uint32 `json:"crc"` // Castagnoli's, of the whole file
}

func (s *store) snapshotFile(index uint64) string {
	return filepath.Join(s.dir, snapshotsName, strconv.FormatUint(index, 10))
}

func (s *store) readSnapshotRef() error {
	sealed, err := s.db.Get(snapshotKey, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil
	}
	path := filepath.Join(s.dir, databaseName)
	if err != nil {
		return disk.Damaged(path, "which snapshot counts: %w", err)
	}
	value, err := unseal(snapshotKey, sealed)
	if err == nil {
		err = json.Unmarshal(value, &s.snapshot)
	}
	if err != nil {
		return disk.Damaged(path, "which snapshot counts: %w", err)
	}
	return nil
}

// tidySnapshots removes what does not count.
func (s *store) tidySnapshots() error {
	dir := filepath.Join(s.dir, snapshotsName)
	if err := disk.MakeDir(dir); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if path := filepath.Join(dir, f.Name()); s.snapshot.Index == 0 || path != s.snapshotFile(s.snapshot.Index) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore reads the snapshot that counts, twice: to see that it is what was written, and into the machine.
func (s *store) restore(into func(io.Reader) error) error {
	if s.snapshot.Index == 0 {
		return nil
	}
	path := s.snapshotFile(s.snapshot.Index)
	f, err := os.Open(path)
	if err != nil {
		return disk.Damaged(path, "%w", err)
	}
	defer f.Close()
	sum := crc32.New(disk.Castagnoli)
	size, err := io.Copy(sum, f)
	if err != nil {
		return disk.Damaged(path, "%w", err)
	}
	if size != s.snapshot.Size || sum.Sum32() != s.snapshot.CRC {
		return disk.Damaged(path, "%d bytes with checksum %08x, written were %d with %08x", size, sum.Sum32(), s.snapshot.Size, s.snapshot.CRC)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := into(f); err != nil {
		return fmt.Errorf("restore the snapshot at index %d: %w", s.snapshot.Index, err)
	}
	return nil
}

// syncEvery is how much of a snapshot is written between two syncs: the disk is never far behind, so that a
// command's own sync does not wait for all of a snapshot.
const syncEvery = 4 << 20

// snapshotWriter writes a file, in bounded debt to the disk, and knows its checksum.
type snapshotWriter struct {
	f    *os.File
	sum  hash.Hash32
	size int64
	debt int
}

func (w *snapshotWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	_, _ = w.sum.Write(b[:n])
	w.size += int64(n)
	if w.debt += n; err == nil && w.debt >= syncEvery {
		err, w.debt = w.f.Sync(), 0
	}
	return n, err
}

// writeSnapshot makes the state at index durable in a file of its own, which does not count yet.
func (s *store) writeSnapshot(index uint64, state io.WriterTo) (ref snapshotRef, err error) {
	path := s.snapshotFile(index)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return ref, err
	}
	w := &snapshotWriter{f: f, sum: crc32.New(disk.Castagnoli)}
	_, err = state.WriteTo(w)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(path) // the disk may be full of it
		return ref, err
	}
	return snapshotRef{Index: index, Size: w.size, CRC: w.sum.Sum32()}, nil
}

// adopt makes a snapshot that was written the one that counts, in the write that drops the entries it holds. On an
// error nobody can know which one counts.
func (s *store) adopt(ref snapshotRef) error {
	value, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	batch := new(leveldb.Batch)
	batch.Put(snapshotKey, seal(snapshotKey, value))
	for index := s.snapshot.Index + 1; index <= min(ref.Index, s.last); index++ {
		batch.Delete(entryKey(index))
	}
	if err := s.db.Write(batch, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("adopt the snapshot at index %d: %w", ref.Index, err)
	}
	if s.snapshot.Index != 0 {
		_ = os.Remove(s.snapshotFile(s.snapshot.Index)) // removed when the log is opened again otherwise
	}
	s.snapshot = ref
	return nil
}
