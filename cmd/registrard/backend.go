package main

import (
	"context"
	"errors"
	"io"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/leveldblog"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/log/zklog"
	"github.com/registrard/registrard/transport"
)

// The backends.
const (
	backendRaft      = "raft"
	backendLevelDB   = "leveldb"
	backendZooKeeper = "zookeeper"
	backendMemory    = "memory"
)

// checkBackend refuses flags that a backend has no use for: who gives them expects something that will not come.
func (o serverOptions) checkBackend() error {
	if err := o.checkZooKeeper(); err != nil {
		return err
	}
	switch o.backend {
	case backendRaft:
		if o.dataDir == "" {
			return usage("--data-dir is required")
		}
		return nil
	case backendZooKeeper:
		if len(o.initialMembers) > 0 || o.join != "" {
			return usage("members of --log zookeeper meet there: --initial-members and --join go with --log raft")
		}
		return nil
	case backendLevelDB:
		if o.dataDir == "" {
			return usage("--data-dir is required")
		}
	case backendMemory:
	default:
		return usage("--log %q is not one of raft, leveldb, zookeeper, memory", o.backend)
	}
	if len(o.initialMembers) > 0 || o.join != "" {
		return usage("--log %s is of one node: --initial-members and --join go with --log raft", o.backend)
	}
	return nil
}

// openLog opens the log that drives registry.
func (o serverOptions) openLog(ctx context.Context, sockets *sockets, registry *fsm.Registry, logger hclog.Logger) (log.Log[fsm.Result], error) {
	switch o.backend {
	case backendMemory:
		return memlog.Open(memlog.Config{ID: o.id}, registry)
	case backendLevelDB:
		return leveldblog.Open(leveldblog.Config{
			ID: o.id, Dir: o.dataDir, SnapshotBytes: uint64(o.snapshotBytes), Logger: logger.Named("log"),
		}, registry)
	case backendZooKeeper:
		config, err := o.zookeeperLog(logger.Named("log"))
		if err != nil {
			return nil, err
		}
		return zklog.Open(ctx, config, registry)
	default:
		peer, err := transport.Listen(transport.Config{
			ID: o.id, Listen: sockets.raft, Advertise: sockets.raftAddr, TLS: sockets.peerTLS, Logger: logger.Named("peer"),
		})
		if err != nil {
			return nil, err
		}
		config := raftlog.Config{
			ID: o.id, Dir: o.dataDir, Transport: peer, InitialMembers: o.initialMembers,
			HeartbeatTimeout: o.heartbeat, SnapshotBytes: uint64(o.snapshotBytes), Logger: logger.Named("log"),
		}
		if o.alone {
			config.InitialMembers = map[string]string{o.id: sockets.raftAddr}
		}
		if o.join != "" {
			config.Join = func(ctx context.Context) (string, error) { return o.joinCluster(ctx, sockets, logger) }
		}
		return raftlog.Open(ctx, config, registry)
	}
}

// checkRestore refuses flags by which no log can be restored.
func (o serverOptions) checkRestore() error {
	switch {
	case o.backend != backendRaft && o.backend != backendLevelDB && o.backend != backendZooKeeper:
		return usage("--log %q is not one of raft, leveldb, zookeeper", o.backend)
	case o.dataDir == "" && o.backend != backendZooKeeper:
		return usage("--data-dir is required")
	}
	return o.checkZooKeeper()
}

// restoreLog makes a log that begins with a snapshot, where there is nothing yet.
func (o serverOptions) restoreLog(ctx context.Context, index uint64, state io.WriterTo) (cluster string, err error) {
	switch o.backend {
	case backendLevelDB:
		return leveldblog.Restore(leveldblog.Config{ID: o.id, Dir: o.dataDir}, index, state)
	case backendZooKeeper:
		config, err := o.zookeeperLog(nil)
		if err != nil {
			return "", err
		}
		return zklog.Restore(ctx, config, index, state)
	default:
		return raftlog.Restore(raftlog.Config{ID: o.id, Dir: o.dataDir}, o.raftAddr, index, state)
	}
}

// visitLog shows what the node in a directory keeps, whatever its backend, or an ensemble where one is named.
func (o serverOptions) visitLog(ctx context.Context, v log.Visitor) (stored log.Stored, err error) {
	if o.zookeeper.servers == "" {
		if stored, err = raftlog.Visit(o.dataDir, v); !errors.Is(err, log.ErrOtherLog) {
			return stored, err
		}
		if stored, err = leveldblog.Visit(o.dataDir, v); !errors.Is(err, log.ErrOtherLog) {
			return stored, err
		}
	}
	config, err := o.zookeeperPlace()
	if err != nil {
		return stored, err
	}
	return zklog.Visit(ctx, config, v)
}
