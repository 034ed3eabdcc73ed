package leveldblog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/disk"
)

// What a directory holds.
const (
	identityName  = "identity.json"
	databaseName  = "db"
	markName      = "acknowledged"
	snapshotsName = "snapshots"

	backend = "leveldb"
)

// identity says whose directory it is. It is read before anything else.
type identity struct {
	Format  int    `json:"format"`
	Log     string `json:"log"` // the backend
	Node    string `json:"node_id"`
	Cluster string `json:"cluster_id"` // drawn when the directory was made
	// Ready: the database holds the log. Where it does not from then on, it has lost it.
	Ready bool `json:"ready"`
}

const identityFormat = 1

// readIdentity fails with fs.ErrNotExist where there is none.
func readIdentity(dir string) (id identity, err error) {
	path := filepath.Join(dir, identityName)
	if err := disk.ReadDocument(path, &id); err != nil {
		return id, err
	}
	switch {
	case id.Log != backend:
		return id, fmt.Errorf("%w: directory %s does not hold a %s one", log.ErrOtherLog, dir, backend)
	case id.Format != identityFormat:
		return id, fmt.Errorf("%s has format %d, this program reads %d", path, id.Format, identityFormat)
	}
	return id, nil
}

func (id identity) write(dir string) error {
	return disk.WriteDocument(filepath.Join(dir, identityName), id)
}

// identify reads whose directory it is, or begins a new identity where it is empty.
func identify(dir, node string) (identity, error) {
	id, err := readIdentity(dir)
	switch {
	case err == nil && id.Node != node:
		return id, fmt.Errorf("directory %s belongs to node %q, not to %q", dir, id.Node, node)
	case !errors.Is(err, fs.ErrNotExist):
		return id, err
	}
	for _, name := range []string{databaseName, markName, snapshotsName} {
		if there, err := disk.Exists(filepath.Join(dir, name)); there || err != nil {
			return id, errors.Join(err, fmt.Errorf("directory %s holds %s but no %s: it cannot be told whose it is", dir, name, identityName))
		}
	}
	id = identity{Format: identityFormat, Log: backend, Node: node, Cluster: rand.Text()}
	return id, id.write(dir)
}
