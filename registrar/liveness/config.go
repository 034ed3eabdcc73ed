package liveness

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config says how patient a Watchman is. Start from Defaults; the zero value is not valid.
type Config struct {
	// Heartbeat is how often each agent is expected to be heard from. Default 15s, as in Mesos. Shorter
	// notices the dead sooner and costs heartbeats; agents and watchman must agree on it.
	Heartbeat time.Duration
	// MaxMissed heartbeats in a row make an agent due to be marked unreachable. Default 5. One makes every
	// lost packet a removal.
	MaxMissed int
	// Window is what every admitted agent has to be heard from after a change of leader, and the span over
	// which removals are counted against RemovalLimit. Default 10m. Too short, and agents that only waited
	// for a new leader are taken for dead; too long, and the dead keep their place.
	Window time.Duration
	// RemovalRate bounds how fast agents are marked, whatever the reason. The zero value is no bound.
	RemovalRate Rate
	// RemovalLimit is the share of the admitted agents above which nobody is marked until a person decides.
	// Default 50%. At 100% it never holds; at 0% every removal needs a person.
	RemovalLimit Percent
	// Passive watches without ever marking anybody or completing a framework: registrations and heartbeats are
	// answered all the same.
	Passive bool
	// Now is the wall clock, asked how long a pause was. Silence is measured on the monotonic clock, which nobody
	// can set. Default time.Now.
	Now func() time.Time
	// Logger may be nil.
	Logger hclog.Logger
}

// Defaults returns the configuration that Mesos masters ship with, and a removal limit of 50%.
func Defaults() Config {
	return Config{
		Heartbeat:    15 * time.Second,
		MaxMissed:    5,
		Window:       10 * time.Minute,
		RemovalLimit: 50,
	}
}

// Validate returns every problem, joined.
func (c Config) Validate() error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	complain(c.Heartbeat < time.Millisecond, "heartbeat %s is shorter than 1ms", c.Heartbeat)
	complain(c.MaxMissed < 1 || c.MaxMissed > 1000, "missed heartbeats %d are not between 1 and 1000", c.MaxMissed)
	complain(c.Window < c.Heartbeat, "window %s is shorter than one heartbeat", c.Window)
	complain(c.RemovalLimit < 0 || c.RemovalLimit > 100, "removal limit %s is not between 0%% and 100%%", c.RemovalLimit)
	complain(c.RemovalRate.N < 0 || c.RemovalRate.Per < 0 || (c.RemovalRate.N > 0) != (c.RemovalRate.Per > 0),
		"removal rate %s is not a positive number over a positive duration", c.RemovalRate)
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// tick is how often the watchman looks: the most by which anybody is marked late.
func (c Config) tick() time.Duration { return max(c.Heartbeat/15, time.Millisecond) }

// deadline is the silence that makes an agent due.
func (c Config) deadline() time.Duration { return time.Duration(c.MaxMissed) * c.Heartbeat }

// suspicion is the silence from which an agent counts as missing: one heartbeat before it is due, so that
// those which fell silent together are all counted before the first of them may be marked.
func (c Config) suspicion() time.Duration {
	return time.Duration(max(c.MaxMissed-1, 1)) * c.Heartbeat
}
