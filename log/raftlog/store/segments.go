package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/registrard/registrard/log/disk"
)

// segments is the list of the log's segment files, as raft-wal keeps it: a checksummed line of JSON that is
// replaced as a whole. raft-wal's own list, in bbolt, falls back to the list before when its newest page is
// damaged, and raft-wal then deletes the segments that are not in it; it also waits for ever for a second
// process to let go.
type segments struct {
	path    string
	files   filer
	written uint64 // index that must be there; set before Load

	mu    sync.Mutex
	state types.PersistentState
}

var errNoStable = errors.New("term and vote are not kept in the log")

// Load implements types.MetaStore.
func (s *segments) Load(string) (types.PersistentState, error) {
	content, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return types.PersistentState{}, nil // OpenLog has made sure that nothing else is there
	}
	if err != nil {
		return types.PersistentState{}, err
	}
	state, err := decodeSegments(content)
	if err != nil {
		return types.PersistentState{}, disk.Damaged(s.path, "%w", err)
	}
	s.remember(state)
	if err := s.finishSeal(&state); err != nil {
		return types.PersistentState{}, err
	}
	return state, nil
}

// CommitState implements types.MetaStore.
func (s *segments) CommitState(state types.PersistentState) error {
	content, err := encodeSegments(state)
	if err != nil {
		return err
	}
	if err := disk.Replace(s.path, content); err != nil {
		return err
	}
	s.remember(state)
	return nil
}

func encodeSegments(state types.PersistentState) ([]byte, error) {
	list, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(list, disk.Castagnoli), list), nil
}

func decodeSegments(content []byte) (types.PersistentState, error) {
	var state types.PersistentState
	digits, list, ok := bytes.Cut(content, []byte(" "))
	list, whole := bytes.CutSuffix(list, []byte("\n"))
	if !ok || !whole || string(digits) != fmt.Sprintf("%08x", crc32.Checksum(list, disk.Castagnoli)) {
		return state, errors.New("checksum does not match")
	}
	return state, json.Unmarshal(list, &state)
}

// finishSeal completes what a crash left half done. raft-wal fills a segment, seals it with an index, and
// lists it as sealed afterwards; reopened in between, it refuses every further entry. So the segment is
// listed as sealed here, with an empty one to follow. Where the batch that sealed it is torn, and so was
// never acknowledged, its index is taken out instead.
func (s *segments) finishSeal(state *types.PersistentState) error {
	if len(state.Segments) == 0 {
		return nil
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	w, err := s.files.RecoverTail(*tail)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // listed, not made yet
	}
	if err != nil {
		return err
	}
	sealed, start, err := w.Sealed()
	last := w.LastIndex()
	if err := errors.Join(err, w.Close()); err != nil {
		return disk.Damaged(s.file(*tail), "%w", err)
	}
	if !sealed || max(last, tail.BaseIndex-1) < s.written {
		return nil // nothing to do, or damage, which is for OpenLog to find as it is
	}
	indexed, err := s.indexed(*tail, start)
	if err != nil {
		return disk.Damaged(s.file(*tail), "%w", err)
	}
	if last == 0 || indexed != last-tail.BaseIndex+1 {
		return s.unindex(*tail, start)
	}
	tail.SealTime, tail.MaxIndex, tail.IndexStart = time.Now(), last, start
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1,
		Codec: tail.Codec, CreateTime: time.Now(), SizeLimit: tail.SizeLimit,
	})
	state.NextSegmentID++
	return s.CommitState(*state)
}

const frameHeader = 8 // type, three bytes of nothing, length

// indexed is how many entries the index at start lists.
func (s *segments) indexed(info types.SegmentInfo, start uint64) (uint64, error) {
	f, err := os.Open(s.file(info))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var header [frameHeader]byte
	if _, err := f.ReadAt(header[:], int64(start)-frameHeader); err != nil {
		return 0, err
	}
	return uint64(binary.LittleEndian.Uint32(header[4:])) / 4, nil
}

// unindex takes the index at start out of a segment.
func (s *segments) unindex(info types.SegmentInfo, start uint64) error {
	f, err := os.OpenFile(s.file(info), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, frameHeader), int64(start)-frameHeader)
	return errors.Join(err, f.Sync(), f.Close())
}

func (s *segments) file(info types.SegmentInfo) string {
	return filepath.Join(filepath.Dir(s.path), segment.FileName(info))
}

func (s *segments) remember(state types.PersistentState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = types.PersistentState{NextSegmentID: state.NextSegmentID, Segments: slices.Clone(state.Segments)}
}

// holding names the file that index is in, or would be.
func (s *segments) holding(index uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range slices.Backward(s.state.Segments) {
		if info.BaseIndex <= index {
			return s.file(info)
		}
	}
	return filepath.Dir(s.path)
}

// GetStable implements types.MetaStore.
func (s *segments) GetStable([]byte) ([]byte, error) { return nil, errNoStable }

// SetStable implements types.MetaStore.
func (s *segments) SetStable(_, _ []byte) error { return errNoStable }

// Close implements types.MetaStore.
func (s *segments) Close() error { return nil }

// filer opens segment files with errors that name them; raft-wal's do not.
type filer struct {
	*segment.Filer
	dir string
}

func newFiler(dir string) filer {
	return filer{Filer: segment.NewFiler(dir, privateFS{walfs.New()}), dir: dir}
}

// Open implements types.SegmentFiler.
func (f filer) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	r, err := f.Filer.Open(info)
	if err != nil {
		return nil, disk.Damaged(filepath.Join(f.dir, segment.FileName(info)), "%w", err)
	}
	return r, nil
}

// RecoverTail implements types.SegmentFiler.
func (f filer) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := f.Filer.RecoverTail(info)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, disk.Damaged(filepath.Join(f.dir, segment.FileName(info)), "%w", err)
	}
	return w, err
}

// privateFS makes segment files that only the owner can read; raft-wal makes them readable for all.
type privateFS struct{ types.VFS }

func (v privateFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := v.VFS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	return f, os.Chmod(filepath.Join(dir, name), 0o600)
}
