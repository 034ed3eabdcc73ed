package raftlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/registrard/registrard/transport"
)

const (
	foundingPause = 100 * time.Millisecond // between two rounds of hellos
	foundingSay   = 10 * time.Second       // between two lines saying whom we wait for
	restartPeek   = time.Second            // for members that ought to be of our cluster
)

// settle brings an identity to a cluster: it founds one, joins one, or finds that it has one. Until it
// returns the member answers hellos and nothing else. keep persists what is decided, before it is acted on.
func settle(ctx context.Context, cfg Config, id Identity, keep func(Identity) error) error {
	switch {
	case id.Ready:
		return sameCluster(ctx, cfg, id)
	case id.Cluster != "":
		return nil // founded, but the stores do not hold it yet
	case len(cfg.InitialMembers) > 0:
		return found(ctx, cfg, id, keep)
	case cfg.Join != nil:
		cluster, err := cfg.Join(ctx)
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		if cluster == "" {
			return errors.New("join: the cluster did not say its id")
		}
		id.Cluster, id.Ready = cluster, true
		return keep(id)
	default:
		return fmt.Errorf("directory %s waits for its cluster: name the initial members, or a cluster to join", cfg.Dir)
	}
}

// found waits until every initial member has answered that it is empty and has the same list. Each comes to
// the same cluster id by itself. One that finds its fellows already founded goes on if they founded with
// its nonce; with another nonce, it is a member that has lost its directory and must not vote.
func found(ctx context.Context, cfg Config, id Identity, keep func(Identity) error) error {
	id.Members = cfg.InitialMembers
	if err := keep(id); err != nil {
		return err
	}
	var said string
	var saidAt time.Time
	for {
		id.Founding = map[string]string{id.Node: id.Nonce}
		var waiting []string
		for peer, a := range hellos(ctx, cfg, cfg.InitialMembers) {
			switch h := a.hello; {
			case a.err != nil:
				waiting = append(waiting, fmt.Sprintf("%s at %s (%v)", peer, cfg.InitialMembers[peer], a.err))
			case !maps.Equal(h.Members, id.Members):
				if h.Cluster != "" {
					return amnesia(cfg, peer, h.Cluster)
				}
				said := fmt.Sprintf("%s (was given other initial members: %v)", peer, h.Members)
				if len(h.Members) == 0 {
					said = peer + " (is starting, or was given no initial members)"
				}
				waiting = append(waiting, said)
			case h.Cluster != "" && h.Founding[id.Node] == id.Nonce:
				id.Cluster, id.Founding = h.Cluster, h.Founding
				return keep(id)
			case h.Cluster != "":
				return amnesia(cfg, peer, h.Cluster)
			case !h.Empty:
				waiting = append(waiting, peer+" (is not empty)")
			default:
				id.Founding[peer] = h.Nonce
			}
		}
		if len(waiting) == 0 && ctx.Err() == nil {
			id.Cluster = clusterID(id.Founding)
			return keep(id)
		}
		slices.Sort(waiting)
		now := strings.Join(waiting, ", ")
		cut := ctx.Err() != nil && said != "" // what the end of ctx has done to this round says nothing of the others
		if !cut && (now != said || time.Since(saidAt) > foundingSay) {
			cfg.Logger.Info("a new cluster starts once every initial member is there", "waiting", now)
			said, saidAt = now, time.Now()
		}
		select {
		case <-time.After(foundingPause):
		case <-ctx.Done():
			return fmt.Errorf("found a cluster: still waiting for %s: %w", said, context.Cause(ctx))
		}
	}
}

func amnesia(cfg Config, peer, cluster string) error {
	return fmt.Errorf("directory %s is empty, but the cluster lives already (%s, says %s): member %q must not vote "+
		"with its memory lost; remove it from the cluster, then let it join under a new id with --join",
		cfg.Dir, cluster, peer, cfg.ID)
}

// sameCluster holds the initial members that answer at once against the cluster that the directory knows.
func sameCluster(ctx context.Context, cfg Config, id Identity) error {
	ctx, cancel := context.WithTimeout(ctx, restartPeek)
	defer cancel()
	for peer, a := range hellos(ctx, cfg, cfg.InitialMembers) {
		if a.err == nil && a.hello.Cluster != "" && a.hello.Cluster != id.Cluster {
			return fmt.Errorf("directory %s belongs to cluster %s, but member %s at %s is of cluster %s",
				cfg.Dir, id.Cluster, peer, cfg.InitialMembers[peer], a.hello.Cluster)
		}
	}
	return nil
}

type greeting struct {
	hello transport.Hello
	err   error
}

// hellos asks all members but this one at once.
func hellos(ctx context.Context, cfg Config, members map[string]string) map[string]greeting {
	var (
		asking  sync.WaitGroup
		mu      sync.Mutex
		answers = make(map[string]greeting)
	)
	for peer, addr := range members {
		if peer == cfg.ID {
			continue
		}
		asking.Go(func() {
			h, err := cfg.Transport.Hello(ctx, peer, addr)
			mu.Lock()
			defer mu.Unlock()
			answers[peer] = greeting{h, err}
		})
	}
	asking.Wait()
	return answers
}

// clusterID is the same on every founder and new for every founding.
func clusterID(founding map[string]string) string {
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(founding)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(id), id, len(founding[id]), founding[id])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
