package liveness

import "time"

// clock is the watchman's time, which nobody can set: it counts from when the watchman was made. It notices
// that the process stood still, because everything here reads it at least once a tick. Not for concurrent use.
type clock struct {
	monotonic func() time.Duration // since the watchman was made
	wall      func() time.Time

	now  time.Duration // when it was read last
	when time.Time     // the wall clock then
}

func newClock(wall func() time.Time) clock {
	born := time.Now()
	c := clock{monotonic: func() time.Duration { return time.Since(born) }, wall: wall}
	c.read()
	return c
}

// read moves on to the present and returns how long ago it was read before. Where the wall clock went further
// than the watchman's time, as over the sleep of a whole machine, it is the wall clock that says so: too long a
// pause is patience, too short a one would be a removal.
func (c *clock) read() (gap time.Duration) {
	now, when := c.monotonic(), c.wall().Round(0) // without its monotonic reading, so that Sub compares the wall clocks
	gap = max(now-c.now, when.Sub(c.when))
	c.now, c.when = now, when
	return gap
}
