package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much may be allocated before the garbage collector runs again.
const (
	collectEvery = 128 << 20 // bytes at least: a small registry is not collected all the time
	collectShare = 30        // percent of what is in use otherwise: a million agents stay below 1.2 GiB
)

// paceCollector keeps the collector to that until ctx ends, unless the environment says how it is paced. The runtime's
// own rule, as much again as is in use, lets a large registry take twice its size, and a small one spend a tenth of
// its time on collections.
func paceCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	last := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		metrics.Read(live)
		if percent := collectPercent(live[0].Value.Uint64()); percent*10 < last*9 || percent*10 > last*11 {
			debug.SetGCPercent(percent) // stops everything for some microseconds
			last = percent
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// collectPercent is what GOGC should be with so many bytes in use. Of a small registry it is less than would make
// collectEvery: a flood multiplies what is in use before this is asked again, and the percentage with it.
func collectPercent(live uint64) int {
	return max(collectShare, int(100*collectEvery/max(live, collectEvery/4)))
}
