package zklog

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log"
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
	if err := s.makeRoot(); err != nil {
		return "", err
	}
	for {
		if cluster, err = s.identify(); !errors.Is(err, zk.ErrNoNode) {
			return cluster, err
		}
		_, ops, err := s.foundation(head{Tail: 1, Keep: 1})
		if err != nil {
			return "", err
		}
		ops = append(ops, s.create(blobsNode, nil))
		err = s.insist(func() error {
			_, err := s.conn.Multi(ops...)
			return err
		})
		if errors.Is(err, zk.ErrNodeExists) { // by somebody else just now, or by an attempt whose answer was lost
			if there, _, e := s.watch(identityNode); e != nil || !there {
				return "", cmp.Or(e, s.noLog("holds something else than a log: name another root"))
			}
			continue
		}
		if err != nil {
			return "", s.explain("found a log below "+s.cfg.Root, err)
		}
	}
}

// makeRoot makes the root where it is missing, and what is missing above it. What is read after it is no older than it.
func (s *session) makeRoot() error {
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
			return s.explain("make "+at, err)
		}
	}
	return s.sync()
}

// identify says which cluster the root is of; the error is zk.ErrNoNode where it is nobody's.
func (s *session) identify() (cluster string, err error) {
	data, _, err := s.get(identityNode)
	if err != nil {
		return "", s.explain("read "+s.path(identityNode), err)
	}
	var id identity
	if err := decodeDocument(s.path(identityNode), data, &id); err != nil {
		return "", err
	}
	if id.Log != backend || id.Format != identityFormat {
		return "", fmt.Errorf("%s holds a %s log of format %d, this program reads format %d", s.cfg.Root, id.Log, id.Format, identityFormat)
	}
	return id.Cluster, nil
}

// foundation is what makes a root that of a new cluster, in one request; the node of the blobs is not among it.
func (s *session) foundation(h head) (cluster string, ops []any, err error) {
	cluster = rand.Text()
	whose, err := encodeDocument(identity{Format: identityFormat, Log: backend, Cluster: cluster})
	if err != nil {
		return "", nil, err
	}
	state, err := encodeDocument(h)
	if err != nil {
		return "", nil, err
	}
	ops = []any{s.create(identityNode, whose), s.create(headNode, state)}
	for _, name := range []string{logNode, membersNode, candidatesNode} {
		ops = append(ops, s.create(name, nil))
	}
	return cluster, ops, nil
}

// noLog says what is wrong with a root that has no identity: that its restore is not finished, or else.
func (s *session) noLog(otherwise string) error {
	there, _, err := s.watch(restoringNode)
	switch {
	case err != nil:
		return err
	case there:
		return fmt.Errorf("%s holds a restore that is not finished: restore again, which begins anew, or name another root", s.cfg.Root)
	default:
		return fmt.Errorf("%s %s", s.cfg.Root, otherwise)
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
	Format  int      `json:"format"`
	Log     string   `json:"log"`
	Node    string   `json:"node_id"`
	Cluster string   `json:"cluster_id"`
	Root    string   `json:"root"`
	Servers []string `json:"servers,omitempty"` // as they were named the last time
}

// readMembership fails with fs.ErrNotExist where there is none.
func readMembership(dir string) (kept membership, err error) {
	if err := disk.ReadDocument(membershipFile(dir), &kept); err != nil {
		return kept, err
	}
	if kept.Log != backend {
		return kept, fmt.Errorf("%w: directory %s does not hold a %s one", log.ErrOtherLog, dir, backend)
	}
	return kept, nil
}

func membershipFile(dir string) string { return filepath.Join(dir, "identity.json") }

// remember notes which cluster this member is of, and refuses another one than the time before.
func remember(cfg Config, cluster string) error {
	kept, err := readMembership(cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case kept.Node != cfg.ID:
		return fmt.Errorf("directory %s belongs to node %q, not to %q", cfg.Dir, kept.Node, cfg.ID)
	case kept.Cluster != cluster:
		return fmt.Errorf("%s on this ensemble is of cluster %s, and this member of %s", cfg.Root, cluster, kept.Cluster)
	case kept.Root == cfg.Root && slices.Equal(kept.Servers, cfg.Servers):
		return nil
	}
	return disk.WriteDocument(membershipFile(cfg.Dir), membership{
		Format: identityFormat, Log: backend, Node: cfg.ID, Cluster: cluster, Root: cfg.Root, Servers: cfg.Servers,
	})
}
