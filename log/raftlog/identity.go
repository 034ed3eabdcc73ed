package raftlog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// What a member's directory holds, beside the directory of snapshots that the store makes.
const (
	identityName = "identity.json"
	logName      = "log"
	voteName     = "vote.db"
	snapshotName = "snapshots"
)

// LogDir, VoteFile and SnapshotsDir are where the stores of a member's directory are, for who opens them
// while the member is stopped. SnapshotsDir is what store.OpenSnapshots takes.
func LogDir(dir string) string       { return filepath.Join(dir, logName) }
func VoteFile(dir string) string     { return filepath.Join(dir, voteName) }
func SnapshotsDir(dir string) string { return dir }

const identityFormat = 1

// Identity says whose directory it is. It is read before any store is opened.
type Identity struct {
	Format int `json:"format"`
	// Log names the backend whose directory it is, where that is not this one.
	Log string `json:"log,omitempty"`
	// Node is the member's id.
	Node string `json:"node_id"`
	// Cluster is empty until the member has one.
	Cluster string `json:"cluster_id,omitempty"`
	// Nonce was drawn when the directory was made. A founder that comes back with another has lost its data.
	Nonce string `json:"nonce"`
	// Members is the list that the cluster was founded with, Founding the nonce of each of them. A member
	// that joined later has neither.
	Members  map[string]string `json:"members,omitempty"`
	Founding map[string]string `json:"founding,omitempty"`
	// Ready: the stores have begun to hold the cluster. Stores that are empty from then on have lost it.
	Ready bool `json:"ready"`
}

// ReadIdentity reads the identity of a directory. Where there is none the error is fs.ErrNotExist.
func ReadIdentity(dir string) (Identity, error) {
	path := filepath.Join(dir, identityName)
	var id Identity
	if err := disk.ReadDocument(path, &id); err != nil {
		return Identity{}, err
	}
	if id.Log != "" {
		return Identity{}, fmt.Errorf("%w: directory %s holds a %s log, not a raft one", log.ErrOtherLog, dir, id.Log)
	}
	if id.Format != identityFormat {
		return Identity{}, fmt.Errorf("%s has format %d, this program reads %d", path, id.Format, identityFormat)
	}
	return id, nil
}

// write replaces the identity of a directory; it is on disk when write returns.
func (id Identity) write(dir string) error {
	return disk.WriteDocument(filepath.Join(dir, identityName), id)
}

// identify reads whose directory it is, or begins a new identity where it is empty.
func identify(cfg Config) (Identity, error) {
	id, err := ReadIdentity(cfg.Dir)
	switch {
	case err == nil && id.Node != cfg.ID:
		return id, fmt.Errorf("directory %s belongs to member %q, not to %q", cfg.Dir, id.Node, cfg.ID)
	case err == nil:
		return id, nil
	case !errors.Is(err, fs.ErrNotExist):
		return id, err
	}
	for _, name := range []string{logName, voteName, snapshotName} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); err == nil {
			return id, fmt.Errorf("directory %s holds %s but no %s: it cannot be told whose it is", cfg.Dir, name, identityName)
		}
	}
	if len(cfg.InitialMembers) == 0 && cfg.Join == nil {
		return id, fmt.Errorf("directory %s is empty: name the initial members of a new cluster, or a cluster to join", cfg.Dir)
	}
	id = Identity{Format: identityFormat, Node: cfg.ID, Nonce: rand.Text()}
	return id, id.write(cfg.Dir)
}
