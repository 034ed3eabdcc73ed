package raftlog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
	"github.com/registrard/registrard/log/raftlog/store"
)

// restoredTerm is the term of a snapshot that begins a cluster; elections begin above it.
const restoredTerm = 1

// Restore makes a new cluster in cfg.Dir, which must be empty: its only member is cfg.ID, reached at addr, and it begins
// with a snapshot at index. Others join it. It returns the cluster's id, a new one, so that no member of another cluster
// can come into it. After an error the directory is of no use. cfg.Transport is not needed.
func Restore(cfg Config, addr string, index uint64, state io.WriterTo) (cluster string, err error) {
	cfg = cfg.withDefaults()
	if cfg.ID == "" || cfg.Dir == "" || addr == "" {
		return "", errors.New("raft log: a member id, a directory and an address are required")
	}
	lock, err := disk.ClaimEmpty(cfg.Dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	failed := make(chan error, 1)
	s, err := openStores(cfg, func(err error) { failed <- err })
	if err != nil {
		return "", err
	}
	err = s.beginWith(configuration(map[string]string{cfg.ID: addr}), index, state)
	if err = errors.Join(err, s.close()); err != nil {
		return "", err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	// The identity comes last: without it a directory is of no use, and says so.
	identity := Identity{Format: identityFormat, Node: cfg.ID, Cluster: hex.EncodeToString(id[:]), Nonce: rand.Text(), Ready: true}
	return identity.Cluster, identity.write(cfg.Dir)
}

// beginWith puts a snapshot of the machine and the configuration into stores that are empty.
func (s *stores) beginWith(members raft.Configuration, index uint64, state io.WriterTo) error {
	if err := s.vote.SetUint64([]byte("CurrentTerm"), restoredTerm); err != nil {
		return err
	}
	_, addresses := raft.NewInmemTransport("") // raft asks a transport how addresses are written
	sink, err := s.snapshots.Create(raft.SnapshotVersionMax, index, restoredTerm, members, index, addresses)
	if err != nil {
		return err
	}
	still := func() uint64 { return 0 } // nothing is applied meanwhile
	return (&image{applied: index, state: state, written: func(uint64) {}, latest: still}).Persist(sink)
}

// Visit shows what the stopped member in dir keeps. Opening the log mends what a crash has left, so a copy of it is
// read; entries at its end may not have been committed.
func Visit(dir string, v log.Visitor) (stored log.Stored, err error) {
	id, err := ReadIdentity(dir)
	if err != nil {
		return stored, err
	}
	stored = log.Stored{Backend: "raft", Node: id.Node, Cluster: id.Cluster}
	unlock, err := disk.Peek(dir)
	if err != nil {
		return stored, err
	}
	defer unlock()
	if err := visitSnapshots(dir, v); err != nil {
		return stored, err
	}
	scratch, err := os.MkdirTemp("", "registrard-inspect-")
	if err != nil {
		return stored, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := errors.Join(os.CopyFS(LogDir(scratch), os.DirFS(LogDir(dir))), copyFiles(dir, scratch, voteName, voteName+".mark")); err != nil {
		return stored, err
	}
	return stored, visitLog(dir, scratch, v)
}

func visitSnapshots(dir string, v log.Visitor) error {
	snapshots, err := store.StoredSnapshots(SnapshotsDir(dir))
	if err != nil {
		return err
	}
	for i, stored := range snapshots {
		err := stored.Read(func(r io.Reader) error {
			_, state, err := OpenSnapshot(r)
			if err != nil {
				return err
			}
			return v.Snapshot(stored.Index, i == len(snapshots)-1, state)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// visitLog reads the copy in scratch; damage is named by where the original is.
func visitLog(dir, scratch string, v log.Visitor) (err error) {
	guard := store.NewGuard(func(error) {})
	defer guard.Close()
	vote, err := store.OpenVote(VoteFile(scratch), guard)
	if err != nil {
		return fmt.Errorf("in a copy of %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, vote.Close()) }()
	l, err := store.OpenLog(LogDir(scratch), store.LogConfig{Guard: guard})
	if err != nil {
		return fmt.Errorf("in a copy of %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	for index := max(first, 1); index <= last; index++ {
		var e raft.Log
		if err := l.GetLog(index, &e); err != nil {
			return fmt.Errorf("in a copy of %s: %w", dir, err)
		}
		var command []byte
		if e.Type == raft.LogCommand {
			command = e.Data
		}
		if err := v.Entry(index, e.Term, command); err != nil {
			return err
		}
	}
	return nil
}

func copyFiles(from, to string, names ...string) error {
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
