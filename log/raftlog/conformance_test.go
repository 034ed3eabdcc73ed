package raftlog_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/raftlog"
	"github.com/registrard/registrard/transport"
)

const testMaxCommand = 1 << 20

func smallCommands(cfg *raftlog.Config) { cfg.MaxCommand = testMaxCommand }

// The conformance suite on a cluster of one.
func TestConformanceOne(t *testing.T) {
	of := make(map[log.Log[result]]*cluster)
	logtest.Run(t, logtest.Backend{
		Storage: func(t testing.TB) func(log.StateMachine[result]) (log.Log[result], error) {
			c := newCluster(t, "n1")
			c.adjust = smallCommands
			return func(m log.StateMachine[result]) (log.Log[result], error) {
				cfg, _ := c.config("n1")
				l, err := raftlog.Open(context.Background(), cfg, m)
				of[l] = c
				return l, err
			}
		},
		// A leader that is told to stand for election leaves its reign, and wins the next.
		LoseReign: func(t testing.TB, l log.Log[result]) {
			s := l.Status()
			stranger, err := transport.Listen(transport.Config{ID: "stranger", Listen: listen(t, "127.0.0.1:0")})
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			stranger.SetCluster(s.Cluster)
			header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}
			addr := of[l].initial["n1"]
			err = stranger.TimeoutNow("n1", raft.ServerAddress(addr), &raft.TimeoutNowRequest{RPCHeader: header}, new(raft.TimeoutNowResponse))
			if err != nil {
				t.Fatal(err)
			}
		},
		// What a killed process leaves is what the directory held while it still ran.
		Crash: func(t testing.TB, l log.Log[result]) {
			dir := of[l].dirOf("n1")
			left := t.TempDir()
			if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(left, dir); err != nil {
				t.Fatal(err)
			}
		},
		TooLarge: testMaxCommand + 1,
	})
}

// three is a member that leads a cluster of three, and the two others with it.
type three struct {
	*raftlog.Log[result]
	c    *cluster
	deaf bool // until it is to lead again
	once sync.Once
}

func (l *three) Lead(ctx context.Context) (context.Context, error) {
	if l.deaf {
		l.deaf = false
		l.c.cuts.heal()
		return l.c.tryLead("n1")
	}
	return l.Log.Lead(ctx)
}

func (l *three) Close() error {
	l.once.Do(l.c.stopAll)
	return l.Log.Close()
}

// The same suite on the leader of a cluster of three.
func TestConformanceThree(t *testing.T) {
	logtest.Run(t, logtest.Backend{
		Storage: func(t testing.TB) func(log.StateMachine[result]) (log.Log[result], error) {
			c := newCluster(t, "n1", "n2", "n3")
			c.adjust = func(cfg *raftlog.Config) {
				smallCommands(cfg)
				slow(cfg)
			}
			return func(m log.StateMachine[result]) (log.Log[result], error) {
				opened := make(chan error, 1)
				var l *raftlog.Log[result]
				cfg, peer := c.config("n1")
				go func() {
					var err error
					l, err = raftlog.Open(context.Background(), cfg, m)
					opened <- err
				}()
				c.members["n1"] = &member{id: "n1"} // so that startAll leaves it out
				c.startAll()
				if err := <-opened; err != nil {
					delete(c.members, "n1")
					return nil, err
				}
				c.members["n1"] = &member{l, "n1", m.(*logtest.Machine), peer}
				if l.Err() == nil {
					c.stand("n1") // as nobody waits for its timeout here
					c.tryLead("n1")
				}
				return &three{Log: l, c: c}, nil
			}
		},
		LoseReign: func(t testing.TB, l log.Log[result]) {
			c := l.(*three).c
			c.lead("n2")
			c.lead("n1")
		},
		// The entry reaches the others, what they answer does not come back.
		LoseReply: func(t testing.TB, l log.Log[result]) {
			l.(*three).deaf = true
			l.(*three).c.cuts.deafen("n1")
		},
		TooLarge: testMaxCommand + 1,
	})
}
