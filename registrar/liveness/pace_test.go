package liveness

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The forms of a rate and of a share, and what is refused.
func TestParseRateAndPercent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Rate{
		"": {}, "100/1m": {100, time.Minute}, "1/10m": {1, 10 * time.Minute}, "5/1s": {5, time.Second},
	} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"100", "/1m", "0/1m", "-1/1m", "1/0s", "1/x", "1.5/1m", "1/1m/1m"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %v", in, got)
		}
	}
	for in, want := range map[string]Percent{"0%": 0, "50%": 50, "12.5%": 12.5, "100%": 100} {
		if got, err := ParsePercent(in); err != nil || got != want || got.String() != in {
			t.Errorf("ParsePercent(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "50", "%", "101%", "-1%", "NaN%", "half%"} {
		if got, err := ParsePercent(in); err == nil {
			t.Errorf("ParsePercent(%q) = %v", in, got)
		}
	}
}

// Whoever takes whatever is ready, whenever it comes: over no span do more go than the rate allows, but for
// one batch, and over a long time nearly as many as the rate allows do.
func TestPaceKeepsItsRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []Rate{{1, 10 * time.Minute}, {100, time.Minute}, {7, time.Second}, {100_000, time.Second}} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			p, every := newPace(rate), rate.Per/time.Duration(rate.N)
			var times []time.Duration
			now := time.Hour // idle until then: nothing beyond one batch is saved up
			start := now
			for len(times) < 20_000 {
				if n := p.ready(now); n > 0 {
					n = 1 + random.IntN(n)
					p.spend(now, n)
					for range n {
						times = append(times, now)
					}
				}
				now += p.wait(now) + time.Duration(random.Int64N(int64(every)/2+1))
			}
			burst := p.limiter.Burst()
			for i, from := range times {
				k := min(i+rate.N+burst, len(times)-1)
				if k-i == rate.N+burst && times[k]-from < rate.Per {
					t.Fatalf("%d went within %s", k-i+1, times[k]-from)
				}
			}
			if ideal := float64(now-start) / float64(every); float64(len(times)) < 0.6*ideal {
				t.Errorf("%d went, where %.0f were allowed", len(times), ideal)
			}
		})
	}
}
