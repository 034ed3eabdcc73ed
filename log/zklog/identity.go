package zklog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log/disk"
)

// identity says whose root it is. It is made with the root's other nodes, all of them or none.
type identity struct {
	Format  int    `json:"format"`
	Log     string `json:"log"` // the backend
	Cluster string `json:"cluster_id"`
}

const (
	backend        = "zookeeper"
	identityFormat = 1
)

// found makes the root where it is missing, and says which cluster it is of.
func (s *session) found() (cluster string, err error) {
	at := ""
	for _, name := range strings.Split(s.cfg.Root[1:], "/") {
		at += "/" + name
		err := s.insist(func() error {
			_, err := s.conn.Create(at, nil, 0, s.acl)
			return err
		})
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			if there, _, e := s.conn.Exists(at); e == nil && there {
				continue // somebody else's, who lets us in further down
			}
			return "", s.explain("make "+at, err)
		}
	}
	if err := s.sync(); err != nil {
		return "", err
	}
	for {
		data, _, err := s.get(identityNode)
		if err == nil {
			var id identity
			if err := decodeDocument(s.path(identityNode), data, &id); err != nil {
				return "", err
			}
			if id.Log != backend || id.Format != identityFormat {
				return "", fmt.Errorf("%s holds a %s log of format %d, this program reads format %d", s.cfg.Root, id.Log, id.Format, identityFormat)
			}
			return id.Cluster, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return "", s.explain("read "+s.path(identityNode), err)
		}
		id, err := encodeDocument(identity{Format: identityFormat, Log: backend, Cluster: rand.Text()})
		if err != nil {
			return "", err
		}
		h, err := encodeDocument(head{Tail: 1, Keep: 1})
		if err != nil {
			return "", err
		}
		ops := []any{s.create(identityNode, id), s.create(headNode, h)}
		for _, name := range []string{logNode, blobsNode, membersNode, candidatesNode} {
			ops = append(ops, s.create(name, nil))
		}
		err = s.insist(func() error {
			_, err := s.conn.Multi(ops...)
			return err
		})
		if errors.Is(err, zk.ErrNodeExists) { // by somebody else just now, or by an attempt whose answer was lost
			if there, _, e := s.watch(identityNode); e != nil || !there {
				return "", errors.Join(e, fmt.Errorf("%s holds something else than a log: name another root", s.cfg.Root))
			}
			continue
		}
		if err != nil {
			return "", s.explain("found a log below "+s.cfg.Root, err)
		}
	}
}

func (s *session) create(name string, data []byte) *zk.CreateRequest {
	return &zk.CreateRequest{Path: s.path(name), Data: data, Acl: s.acl}
}

// explain says what went wrong, and in plain words where the ensemble does not let us.
func (s *session) explain(what string, err error) error {
	if errors.Is(err, zk.ErrNoAuth) || errors.Is(err, zk.ErrAuthFailed) || errors.Is(err, zk.ErrInvalidACL) {
		who := "without credentials"
		if s.cfg.Auth != "" {
			user, _, _ := strings.Cut(s.cfg.Auth, ":")
			who = "with the credentials of " + user
		}
		return fmt.Errorf("ZooKeeper does not let this member %s %s: %w", what, who, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// presence is what a member that runs says of itself.
type presence struct {
	ID      string `json:"id"`
	Process string `json:"process"` // drawn when the Log was opened
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Session int64  `json:"session_ms"`
}

// errTwin: another process runs under this member's id.
var errTwin = errors.New("another process runs under this id")

// appear claims the member's id for as long as the session lives. Where another process holds it, that is perhaps the
// one before this, which was killed: patient waits until its session must have ended.
func (s *session) appear(process string, patient bool) error {
	host, _ := os.Hostname()
	self := presence{ID: s.cfg.ID, Process: process, Host: host, PID: os.Getpid(), Session: s.timeout().Milliseconds()}
	data, err := json.Marshal(self)
	if err != nil {
		return err
	}
	node := memberNode(s.cfg.ID)
	var deadline <-chan time.Time
	for {
		err := s.insist(func() error {
			_, err := s.conn.Create(s.path(node), data, zk.FlagEphemeral, s.acl)
			return err
		})
		if !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
		there, gone, err := s.watch(node)
		if err != nil {
			return err
		}
		data, stat, err := s.get(node)
		if errors.Is(err, zk.ErrNoNode) || !there {
			continue
		}
		if err != nil {
			return err
		}
		var other presence
		_ = json.Unmarshal(data, &other) // what cannot be read is not ours
		switch {
		case other.Process == process && stat.EphemeralOwner == s.conn.SessionID():
			return nil // by an attempt whose answer was lost
		case other.Process == process: // of our session before
			if err := s.remove(node); err != nil {
				return err
			}
			continue
		case !patient:
			return fmt.Errorf("%w: member %s, process %d on %s", errTwin, s.cfg.ID, other.PID, other.Host)
		case deadline == nil:
			s.cfg.Logger.Info("waiting for the session of an earlier process of this member to end", "member", s.cfg.ID, "process", other.PID, "host", other.Host)
			deadline = time.After(2*time.Duration(other.Session)*time.Millisecond + time.Second)
		}
		select {
		case <-gone:
		case <-deadline:
			return fmt.Errorf("%w: member %s, process %d on %s", errTwin, s.cfg.ID, other.PID, other.Host)
		case <-s.Done():
			return context.Cause(s)
		}
	}
}

// membership is kept on this member's disk, where it has a directory.
type membership struct {
	Format  int    `json:"format"`
	Log     string `json:"log"`
	Node    string `json:"node_id"`
	Cluster string `json:"cluster_id"`
	Root    string `json:"root"`
}

// remember notes which cluster this member is of, and refuses another one than the time before.
func remember(cfg Config, cluster string) error {
	path := filepath.Join(cfg.Dir, "identity.json")
	var kept membership
	err := disk.ReadDocument(path, &kept)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return disk.WriteDocument(path, membership{Format: identityFormat, Log: backend, Node: cfg.ID, Cluster: cluster, Root: cfg.Root})
	case err != nil:
		return err
	case kept.Log != backend:
		return fmt.Errorf("directory %s holds another kind of log, not a %s one", cfg.Dir, backend)
	case kept.Node != cfg.ID:
		return fmt.Errorf("directory %s belongs to node %q, not to %q", cfg.Dir, kept.Node, cfg.ID)
	case kept.Cluster != cluster:
		return fmt.Errorf("%s on this ensemble is of cluster %s, and this member of %s", cfg.Root, cluster, kept.Cluster)
	}
	return nil
}
