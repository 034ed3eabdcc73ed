package bench

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Row is one line of the result.
type Row struct {
	Name    string `json:"row"`
	What    string `json:"what,omitempty"`
	Callers int    `json:"callers,omitempty"`
	Batch   int    `json:"batch,omitempty"`  // operations, or heartbeats, in one request
	Agents  int    `json:"agents,omitempty"` // in the registry
	Count   int    `json:"count"`            // what was measured: operations, reads, lists, lines
	Errors  int    `json:"errors,omitempty"`
	// PerSecond counts operations, not requests.
	PerSecond float64 `json:"per_second,omitempty"`
	// Latencies of requests, in milliseconds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
	// LeaderCPU is what the leading process spent on each operation, in microseconds; 0 where it is not known.
	LeaderCPU float64 `json:"leader_cpu_us,omitempty"`
	// More figures, with their units in their names.
	More map[string]float64 `json:"more,omitempty"`
}

// Load is how long callers go on, and how.
type Load struct {
	Callers  int           `json:"callers"`
	Batch    int           `json:"batch"`
	Warm     time.Duration `json:"warm"` // before what counts
	Duration time.Duration `json:"duration"`
}

// tooMany errors end a load: it measures nothing any more.
const tooMany = 1000

// closed has callers ask again as soon as they were answered. do is called with the number of the caller.
func (l Load) closed(ctx context.Context, do func(ctx context.Context, caller int) error) (Row, error) {
	var failures atomic.Int64
	var last atomic.Pointer[error]
	begin := time.Now().Add(l.Warm)
	end := begin.Add(l.Duration)
	latencies := make([][]time.Duration, l.Callers)
	var work sync.WaitGroup
	for caller := range l.Callers {
		work.Go(func() {
			own := make([]time.Duration, 0, 4096)
			for ctx.Err() == nil && failures.Load() < tooMany {
				start := time.Now()
				err := do(ctx, caller)
				now := time.Now()
				switch {
				case now.After(end):
					latencies[caller] = own
					return
				case err != nil:
					failures.Add(1)
					last.Store(&err)
				case start.After(begin):
					own = append(own, now.Sub(start))
				}
			}
			latencies[caller] = own
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		return Row{}, context.Cause(ctx)
	}
	if failures.Load() >= tooMany {
		return Row{}, *last.Load()
	}
	row := summary(slices.Concat(latencies...))
	row.Callers, row.Batch, row.Errors = l.Callers, l.Batch, int(failures.Load())
	row.PerSecond = float64(row.Count) * float64(l.Batch) / l.Duration.Seconds()
	row.Count *= l.Batch
	return row, nil
}

// paced starts a request every interval, however long the one before takes, as independent callers do. A request
// counts from the moment when it was due.
func (l Load) paced(ctx context.Context, interval time.Duration, do func(ctx context.Context, n int) error) (Row, error) {
	begin := time.Now().Add(l.Warm)
	end := begin.Add(l.Duration)
	var mu sync.Mutex
	var latencies []time.Duration
	var failures int
	var last error
	var work sync.WaitGroup
	busy := make(chan struct{}, l.Callers)
	tick := time.NewTimer(0)
	defer tick.Stop()
	n := 0
	for due := time.Now(); due.Before(end) && ctx.Err() == nil; due = due.Add(interval) {
		tick.Reset(time.Until(due))
		select {
		case <-tick.C:
		case <-ctx.Done():
			continue
		}
		busy <- struct{}{}
		number := n
		n++
		work.Go(func() {
			err := do(ctx, number)
			took := time.Since(due)
			<-busy
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failures, last = failures+1, err
			case due.After(begin):
				latencies = append(latencies, took)
			}
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		return Row{}, context.Cause(ctx)
	}
	if len(latencies) == 0 {
		return Row{}, last
	}
	row := summary(latencies)
	row.Batch, row.Errors = l.Batch, failures
	row.PerSecond = float64(row.Count) * float64(l.Batch) / l.Duration.Seconds()
	row.Count *= l.Batch
	return row, nil
}

// summary sorts what was measured.
func summary(latencies []time.Duration) Row {
	if len(latencies) == 0 {
		return Row{}
	}
	slices.Sort(latencies)
	at := func(share float64) float64 {
		return milliseconds(latencies[min(len(latencies)-1, int(share*float64(len(latencies))))])
	}
	return Row{Count: len(latencies), P50: at(0.50), P99: at(0.99), Max: at(1)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
