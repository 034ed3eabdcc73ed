package raftlog

import (
	"context"
	"sync"
	"time"

	"github.com/registrard/registrard/transport"
)

// Offsets implements log.Clocks, by a hello to every other member at once.
func (l *Log[R]) Offsets(ctx context.Context) map[string]time.Duration {
	offsets := make(map[string]time.Duration)
	l.askAll(ctx, func(id string, h transport.Hello, took time.Duration) {
		offsets[id] = time.Until(h.Wall) + took/2
	})
	return offsets
}

// Testimonies implements log.Witnesses in the same way.
func (l *Log[R]) Testimonies(ctx context.Context) map[string][]byte {
	testimonies := make(map[string][]byte)
	l.askAll(ctx, func(id string, h transport.Hello, _ time.Duration) { testimonies[id] = h.Testimony })
	return testimonies
}

// askAll asks every other member who it is, and calls heard for each that answers, one at a time.
func (l *Log[R]) askAll(ctx context.Context, heard func(id string, h transport.Hello, took time.Duration)) {
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, s := range servers(l.raft.Load()) {
		if l.isSelf(s) {
			continue
		}
		asked.Go(func() {
			began := time.Now()
			h, err := l.cfg.Transport.Hello(ctx, string(s.ID), string(s.Address))
			if err != nil {
				return // whoever does not answer has no say
			}
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			heard(string(s.ID), h, took)
		})
	}
	asked.Wait()
}
