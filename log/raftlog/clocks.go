package raftlog

import (
	"context"
	"sync"
	"time"
)

// Offsets implements log.Clocks, by a hello to every other member at once.
func (l *Log[R]) Offsets(ctx context.Context) map[string]time.Duration {
	offsets := make(map[string]time.Duration)
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, s := range servers(l.raft.Load()) {
		if l.isSelf(s) {
			continue
		}
		asked.Go(func() {
			id := string(s.ID)
			began := time.Now()
			hello, err := l.cfg.Transport.Hello(ctx, id, string(s.Address))
			if err != nil {
				return // whoever does not answer has no say
			}
			ahead := hello.Wall.Sub(began.Add(time.Since(began) / 2))
			mu.Lock()
			defer mu.Unlock()
			offsets[id] = ahead
		})
	}
	asked.Wait()
	return offsets
}
