package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/disk"
)

// syncEvery bytes a snapshot being written is synced, so that the sync at its end does not hold up the
// log's, on the same disk, for seconds.
const syncEvery = 8 << 20

// Snapshots keeps snapshots in raft's file format, each with a header of ours in front of the state:
// raft's checksum covers the state, the header covers what raft keeps beside it. It implements
// raft.SnapshotStore.
type Snapshots struct {
	dir    string
	files  *raft.FileSnapshotStore
	logger hclog.Logger
	// checked is the snapshot that was verified last and not opened since; nil: none. The next Open does not verify it
	// again: of a million agents that takes longer than anything else that is read at start.
	checked atomic.Pointer[raft.SnapshotMeta]
}

// OpenSnapshots opens the snapshots in dir and drops those that a crash left unfinished. retain is how many
// are kept, at least two: the log is kept back to the one before the last.
func OpenSnapshots(dir string, retain int, logger hclog.Logger) (*Snapshots, error) {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	s := &Snapshots{dir: filepath.Join(dir, "snapshots"), logger: logger}
	if err := disk.MakeDir(s.dir); err != nil {
		return nil, err
	}
	unfinished, err := filepath.Glob(filepath.Join(s.dir, "*.tmp"))
	if err != nil {
		return nil, err
	}
	for _, path := range unfinished {
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	s.files, err = raft.NewFileSnapshotStoreWithLogger(dir, max(retain, 2), logger)
	return s, err
}

// header is what is written in front of a snapshot's state.
func header(m *raft.SnapshotMeta) []byte {
	buf := []byte("regsnap1")
	buf = binary.LittleEndian.AppendUint64(buf, m.Index)
	buf = binary.LittleEndian.AppendUint64(buf, m.Term)
	buf = binary.LittleEndian.AppendUint64(buf, m.ConfigurationIndex)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(raft.EncodeConfiguration(m.Configuration), disk.Castagnoli))
}

const headerSize = 8 + 3*8 + 4

// Create implements raft.SnapshotStore.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	inner, err := s.files.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	sink := &sink{SnapshotSink: inner}
	dir := filepath.Join(s.dir, inner.ID()+".tmp")
	sink.file, err = os.Open(filepath.Join(dir, stateFile))
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o700), sink.file.Chmod(0o600), os.Chmod(filepath.Join(dir, metaFile), 0o600), disk.SyncDir(dir))
	}
	if err == nil {
		_, err = sink.Write(header(&raft.SnapshotMeta{
			Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
		}))
	}
	if err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// sink syncs what is written to it now and then.
type sink struct {
	raft.SnapshotSink
	file     *os.File // the same file again: raft does not show its own
	unsynced int
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.SnapshotSink.Write(p)
	if err != nil {
		return n, err
	}
	if s.unsynced += n; s.unsynced >= syncEvery {
		s.unsynced = 0
		return n, s.file.Sync()
	}
	return n, nil
}

func (s *sink) Close() error  { return errors.Join(s.SnapshotSink.Close(), s.release()) }
func (s *sink) Cancel() error { return errors.Join(s.SnapshotSink.Cancel(), s.release()) }

func (s *sink) release() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// List implements raft.SnapshotStore.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	metas, err := s.files.List()
	for _, m := range metas {
		m.Size -= headerSize
	}
	return metas, err
}

// Open implements raft.SnapshotStore. What it returns has been read and verified whole, just now or by CheckSnapshots.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if meta := s.checked.Swap(nil); meta != nil && meta.ID == id {
		return s.open(meta)
	}
	meta, r, err := s.files.Open(id)
	if err != nil {
		return nil, nil, disk.Damaged(filepath.Join(s.dir, id), "%w", err)
	}
	if err := checkHeader(meta, r); err != nil {
		return nil, nil, errors.Join(disk.Damaged(filepath.Join(s.dir, id), "%w", err), r.Close())
	}
	meta.Size -= headerSize
	return meta, r, nil
}

// open is Open without a look at the checksum.
func (s *Snapshots) open(meta *raft.SnapshotMeta) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.dir, meta.ID, stateFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, disk.Damaged(path, "%w", err)
	}
	if err := checkHeader(meta, f); err != nil {
		return nil, nil, errors.Join(disk.Damaged(path, "%w", err), f.Close())
	}
	return meta, f, nil
}

func checkHeader(meta *raft.SnapshotMeta, r io.Reader) error {
	var got [headerSize]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return fmt.Errorf("read its header: %w", err)
	}
	if string(got[:]) != string(header(meta)) {
		return fmt.Errorf("%s does not belong to %s", metaFile, stateFile)
	}
	return nil
}

// Before is the index of the snapshot before the last, 0 without one: see LogConfig.KeepAfter.
func (s *Snapshots) Before() uint64 {
	names, err := s.names()
	if err != nil || len(names) < 2 {
		return 0
	}
	return names[1].index
}

const (
	stateFile = "state.bin"
	metaFile  = "meta.json"
)

// name is what a snapshot's directory is called: term, index and milliseconds. Unlike what the files in it
// say, it cannot rot.
type name struct {
	id                 string
	term, index, milli uint64
}

// names lists the finished snapshots, newest first.
func (s *Snapshots) names() ([]name, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []name
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		n := name{id: e.Name()}
		if _, err := fmt.Sscanf(n.id, "%d-%d-%d", &n.term, &n.index, &n.milli); err != nil {
			return nil, disk.Damaged(filepath.Join(s.dir, n.id), "not the name of a snapshot")
		}
		names = append(names, n)
	}
	sortNames(names)
	return names, nil
}
