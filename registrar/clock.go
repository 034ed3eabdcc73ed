package registrar

import (
	"context"
	"fmt"
	"time"

	"github.com/registrard/registrard/log"
)

const (
	// clockTolerance is how far the leader's clock may be behind the log's time, or off most members' clocks.
	clockTolerance = time.Minute
	// clockPause is between two comparisons with the members' clocks, and clockPatience what one may take.
	clockPause    = 10 * time.Second
	clockPatience = 2 * time.Second
)

// ClockFault says why this leader's clock is not to be believed, nil where nothing speaks against it. With a wrong
// clock nothing may be forgotten by age and nobody be marked: a clock that is ahead makes everything old, and what
// was pruned for it is gone. A clock is wrong that is more than a minute behind the log's time, or that differs by more
// from the clocks of most members that answer. Outside a reign only the first is known.
func (r *Registrar) ClockFault() error {
	if behind := r.registry.State().Time().Time().Sub(r.config.Now()); behind > clockTolerance {
		return clockFault{behind, "behind the log's time"}
	}
	if fault := r.clock.Load(); fault != nil {
		return *fault
	}
	return nil
}

// clockFault is a clock that is off.
type clockFault struct {
	by   time.Duration
	what string
}

func (f clockFault) Error() string {
	return fmt.Sprintf("this leader's clock is %s %s", f.by.Round(time.Second), f.what)
}

// compareClocks is a duty, where the log can ask the others for their time.
func (r *Registrar) compareClocks(reign context.Context) error {
	defer r.clock.Store(nil)
	clocks := r.log.(log.Clocks)
	tick := time.NewTicker(clockPause)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(reign, clockPatience)
		offsets := clocks.Offsets(ctx)
		cancel()
		fault, before := judgeClock(offsets), r.clock.Load()
		r.clock.Store(fault)
		if fault != nil && before == nil {
			r.logger.Error("nothing is pruned until the clock is right", "error", *fault, "members", len(offsets))
		}
		select {
		case <-tick.C:
		case <-reign.Done():
			return nil
		}
	}
}

// judgeClock is the verdict on a clock by how far others are ahead of it: wrong is one that most of them contradict,
// and by the least that any of those says.
func judgeClock(offsets map[string]time.Duration) *clockFault {
	against := 0
	var fault clockFault
	for _, ahead := range offsets {
		off, what := ahead, "behind most members' clocks"
		if ahead < 0 {
			off, what = -ahead, "ahead of most members' clocks"
		}
		if off <= clockTolerance {
			continue
		}
		if against++; against == 1 || off < fault.by {
			fault = clockFault{off, what}
		}
	}
	if 2*against <= len(offsets) {
		return nil
	}
	return &fault
}
