package main

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

// The backends.
const (
	backendRaft   = "raft"
	backendMemory = "memory"
)

// openLog opens the log that drives registry.
func (o serverOptions) openLog(ctx context.Context, sockets *sockets, registry *fsm.Registry, logger hclog.Logger) (log.Log[fsm.Result], error) {
	switch o.backend {
	case backendMemory:
		return memlog.Open(memlog.Config{ID: o.id}, registry)
	case backendRaft:
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
	default:
		return nil, usage("--log %q is not one of raft, memory", o.backend)
	}
}
