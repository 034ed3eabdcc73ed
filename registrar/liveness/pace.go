package liveness

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Rate is N agents in each Per, evenly spaced. The zero value is no bound.
type Rate struct {
	N   int
	Per time.Duration
}

// ParseRate reads "100/1m"; the empty string is no bound.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	count, per, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n <= 0 {
		return Rate{}, fmt.Errorf("rate %q is not of the form N/duration, such as 100/1m", s)
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return Rate{}, fmt.Errorf("rate %q: %q is not a positive duration, such as 1m", s, per)
	}
	return Rate{N: n, Per: d}, nil
}

// String is the form that ParseRate reads, and "unlimited" for the zero value.
func (r Rate) String() string {
	if r == (Rate{}) {
		return "unlimited"
	}
	return fmt.Sprintf("%d/%s", r.N, r.Per)
}

// Percent is a share, from 0 to 100.
type Percent float64

// ParsePercent reads "50%".
func ParsePercent(s string) (Percent, error) {
	number, ok := strings.CutSuffix(s, "%")
	p, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(p >= 0 && p <= 100) {
		return 0, fmt.Errorf("share %q is not a percentage between 0%% and 100%%", s)
	}
	return Percent(p), nil
}

// String is the form that ParsePercent reads.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// exceeded says whether part is more than the share of whole.
func (p Percent) exceeded(part, whole int) bool { return float64(part)*100 > float64(p)*float64(whole) }

// batchMax bounds one frame of removals; batchSpan is how long fast rates save up for one.
const (
	batchMax  = 500
	batchSpan = 100 * time.Millisecond
)

// pace spaces removals. A slot is spent when an agent is marked and not when it is queued, so one that is heard
// from while it waits has none to give back.
type pace struct {
	limiter *rate.Limiter // its burst is one, or what a fast rate saves up in batchSpan; nil: no bound
}

func newPace(r Rate) pace {
	if r == (Rate{}) {
		return pace{}
	}
	perSecond := float64(r.N) / r.Per.Seconds()
	burst := min(1+perSecond*batchSpan.Seconds(), batchMax)
	return pace{rate.NewLimiter(rate.Limit(perSecond), int(burst))}
}

// ready is how many may go at now.
func (p pace) ready(now time.Duration) int {
	if p.limiter == nil {
		return batchMax
	}
	return int(p.limiter.TokensAt(at(now)))
}

// spend takes n slots, which ready has offered.
func (p pace) spend(now time.Duration, n int) {
	if p.limiter != nil {
		p.limiter.AllowN(at(now), n)
	}
}

// wait is how long after now somebody may go; at least a moment where ready says nobody.
func (p pace) wait(now time.Duration) time.Duration {
	if p.ready(now) > 0 {
		return 0
	}
	lacking := 1 - p.limiter.TokensAt(at(now))
	return time.Duration(math.Ceil(lacking/float64(p.limiter.Limit())*float64(time.Second))) + 1
}

// at gives the limiter, which wants a date, the watchman's time: only differences matter to it.
func at(now time.Duration) time.Time { return time.Unix(0, 0).Add(now) }
