package raftlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/raftlog/store"
	"github.com/registrard/registrard/transport"
)

// Config says how to open a Log. ID, Dir and Transport are required.
type Config struct {
	// ID names this member for all time. A member whose directory is lost must not come back under it.
	ID string
	// Dir holds everything that this member must not forget. It is made if need be, with mode 0700, and
	// locked while the Log is open.
	Dir string
	// Transport reaches the other members. The Log owns it from Open on and closes it, also when Open fails.
	Transport Transport

	// InitialMembers, id to address on the peer port, this member included, founds a new cluster where Dir is
	// empty. Where Dir holds a cluster it founds nothing; members listed there that answer must then be of
	// that cluster. All members must be given the same list.
	InitialMembers map[string]string
	// Join asks a running cluster to add this member, and returns the cluster's id. It is called where Dir
	// is empty; the member answers hellos meanwhile. Not both Join and InitialMembers.
	Join func(ctx context.Context) (cluster string, err error)

	// HeartbeatTimeout is how long a follower hears nothing before it wants an election, how long an election
	// may take, and how long a leader goes on without hearing from a majority. Default 300 ms. Shorter
	// deposes leaders over a slow disk or a busy processor; longer leaves the cluster longer without a leader.
	HeartbeatTimeout time.Duration
	// SnapshotBytes of commands since the last snapshot, and more than half of that snapshot's own size, make a
	// new one. Default 128 MiB. Smaller writes the state more often; larger makes a restart replay more.
	SnapshotBytes uint64
	// TrailingEntries stay in the log behind a snapshot, or as many as are of 64 MiB where they are large. Default
	// 256, at least 1.
	TrailingEntries uint64
	// MaxCommand is the largest command in bytes. Default 32 MiB, at most store.MaxEntry.
	MaxCommand int
	// SegmentBytes is the size of a file of the log. Default 64 MiB.
	SegmentBytes int
	// Logger. Default none.
	Logger hclog.Logger
}

// Transport is what a Log needs of a transport.Peer.
type Transport interface {
	raft.Transport
	raft.WithPreVote
	// SetCluster lets calls of members of the cluster in.
	SetCluster(id string)
	// ServeHello says what to answer to whoever asks who is here.
	ServeHello(answer func() transport.Hello)
	// Hello asks the member id at addr who it is.
	Hello(ctx context.Context, id, addr string) (transport.Hello, error)
	// OnMeet has met called with the id and the address of every member that connects. It must not block.
	OnMeet(met func(id, addr string))
	// Progress is what was learnt from the member id as a leader of term.
	Progress(id string, term uint64) transport.Progress
	// Progressed is closed when the progress of any member changes.
	Progressed() <-chan struct{}
	// Lost tells since when a member that was connected for Raft's calls is connected no more.
	Lost(id string) (since time.Time, ok bool)
	// Losses is closed when a member is lost after the call.
	Losses() <-chan struct{}
	// Refused connects to addr and tells whether the machine there says that nobody listens.
	Refused(ctx context.Context, addr string) bool
	// Suspect asks the voter id at addr whether it sees the leader dead as well.
	Suspect(ctx context.Context, id, addr string, s transport.Suspicion) (transport.Opinion, error)
	// ServeSuspicion says what to answer to that.
	ServeSuspicion(opinion func(context.Context, transport.Suspicion) transport.Opinion)
	// Fence stops sending and receiving for good. It does not wait.
	Fence(err error)
	Close() error
}

func (c Config) withDefaults() Config {
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 300*time.Millisecond)
	c.SegmentBytes = cmp.Or(c.SegmentBytes, 64<<20)
	c.SnapshotBytes = cmp.Or(c.SnapshotBytes, 128<<20)
	c.TrailingEntries = cmp.Or(c.TrailingEntries, 256)
	c.MaxCommand = cmp.Or(c.MaxCommand, 32<<20)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.ID != "", "raft log: no member id")
	check(c.Dir != "", "raft log: no directory")
	check(c.Transport != nil, "raft log: no transport")
	check(c.HeartbeatTimeout == 0 || c.HeartbeatTimeout >= 10*time.Millisecond,
		"heartbeat timeout %v: at least 10ms", c.HeartbeatTimeout)
	check(c.MaxCommand >= 0 && c.MaxCommand <= store.MaxEntry,
		"largest command of %d bytes: at most %d", c.MaxCommand, store.MaxEntry)
	check(len(c.InitialMembers) == 0 || c.Join == nil, "initial members and join: only one is possible")
	if len(c.InitialMembers) > 0 {
		check(c.InitialMembers[c.ID] != "", "initial members %v: this member, %q, is not among them", c.InitialMembers, c.ID)
	}
	seen := make(map[string]string)
	for id, addr := range c.InitialMembers {
		check(id != "" && addr != "", "initial members: %q at %q is not a member", id, addr)
		check(seen[addr] == "", "initial members: %q and %q are both at %s", id, seen[addr], addr)
		seen[addr] = id
	}
	return errors.Join(problems...)
}

// raft is the library's configuration. Commands are packed by the proposer, so counts of entries are counts
// of packs, of up to a quarter of a MiB each, and stay small.
func (c Config) raft() *raft.Config {
	r := raft.DefaultConfig()
	r.LocalID = raft.ServerID(c.ID)
	r.HeartbeatTimeout = c.HeartbeatTimeout
	r.ElectionTimeout = c.HeartbeatTimeout
	r.LeaderLeaseTimeout = c.HeartbeatTimeout - hurry // so that a lone voter's heartbeat timeout may be shortened
	r.CommitTimeout = min(r.CommitTimeout, c.HeartbeatTimeout/4)
	r.MaxAppendEntries = 64
	r.BatchApplyCh = true
	r.ShutdownOnRemove = false // a member that was removed says so and stays readable
	r.TrailingLogs = c.TrailingEntries
	r.SnapshotThreshold = 1 << 62 // by bytes, see keep
	r.SnapshotInterval = 24 * time.Hour
	r.NoLegacyTelemetry = true
	r.Logger = c.Logger.Named("raft")
	return r
}
