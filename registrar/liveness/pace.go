package liveness

import (
	"fmt"
	"strconv"
	"strings"
	"time"
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

// pace spaces removals. A slot is taken when an agent is marked and not before, so one that is heard from
// while it waits holds none to give back.
type pace struct {
	every time.Duration // between two agents; 0 is no bound
	next  time.Duration // when the next may go
}

func newPace(r Rate) pace {
	if r == (Rate{}) {
		return pace{}
	}
	return pace{every: max(r.Per/time.Duration(r.N), 1)}
}

// ready is how many may go at now.
func (p *pace) ready(now time.Duration) int {
	switch {
	case p.every == 0:
		return batchMax
	case now < p.next:
		return 0
	}
	return int(min(1+(now-p.next)/p.every, p.burst()))
}

// spend takes n slots, which ready has offered.
func (p *pace) spend(now time.Duration, n int) {
	if p.every == 0 {
		return
	}
	saved := (p.burst() - 1) * p.every
	p.next = max(p.next, now-saved) + time.Duration(n)*p.every
}

// wait is how long after now the next batch may go.
func (p *pace) wait(now time.Duration) time.Duration {
	if p.every == 0 {
		return 0
	}
	return max(p.next-now, 0)
}

// burst is how many may go at once: one, or what a fast rate saves up in batchSpan.
func (p *pace) burst() time.Duration { return min(1+batchSpan/p.every, batchMax) }
