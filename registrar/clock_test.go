package registrar

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
)

func TestClocksAreJudgedByMost(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name    string
		offsets map[string]time.Duration
		want    string
	}{
		{"nobody to ask", nil, ""},
		{"nobody answers", map[string]time.Duration{}, ""},
		{"all agree", map[string]time.Duration{"b": time.Second, "c": -time.Minute}, ""},
		{"one of two is off", map[string]time.Duration{"b": hour, "c": 0}, ""},
		{"the only one that answers is ahead", map[string]time.Duration{"b": hour}, "1h0m0s behind most"},
		{"both are behind", map[string]time.Duration{"b": -hour, "c": -2 * hour}, "1h0m0s ahead of most"},
		{"two of four", map[string]time.Duration{"b": hour, "c": hour, "d": 0, "e": 0}, ""},
		{"three of four", map[string]time.Duration{"b": hour, "c": hour, "d": hour, "e": 0}, "1h0m0s behind most"},
	} {
		fault := judgeClock(c.offsets)
		got := ""
		if fault != nil {
			got = fault.Error()
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// clockedLog is a log whose other replicas have clocks.
type clockedLog struct {
	*memlog.Log[fsm.Result]
	ahead atomic.Int64
}

func (l *clockedLog) Offsets(context.Context) map[string]time.Duration {
	ahead := time.Duration(l.ahead.Load())
	return map[string]time.Duration{"n2": ahead, "n3": ahead}
}

// A leader whose clock has run far ahead of the others' forgets nothing: by its clock all is old. Once the clock is
// right it goes on.
func TestClockAheadOfTheMembersPrunesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := fsm.New()
		l := &clockedLog{}
		var err error
		if l.Log, err = memlog.Open(memlog.Config{ID: "n1"}, registry); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var wrong atomic.Int64
		cfg := Defaults("n1")
		cfg.PruneInterval = time.Minute
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }
		r, err := New(cfg, l, registry)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- r.Run(ctx) }()
		synctest.Wait()
		for _, op := range []fsm.Op{fsm.AdmitAgent{Agent: agent(t, "a1")}, fsm.MarkGone{ID: "a1"}} {
			if _, err := r.Apply(ctx, op); err != nil {
				t.Fatal(err)
			}
		}
		const year = 365 * 24 * time.Hour
		wrong.Store(int64(year))
		l.ahead.Store(-int64(year))
		time.Sleep(time.Hour)
		synctest.Wait()
		if fault := r.ClockFault(); r.State().Count(fsm.Gone) != 1 || fault == nil || !strings.Contains(fault.Error(), "ahead of most members") {
			t.Errorf("%d gone agents are remembered, clock fault %v", r.State().Count(fsm.Gone), fault)
		}
		wrong.Store(0)
		l.ahead.Store(0)
		time.Sleep(cfg.MaxAge)
		synctest.Wait()
		if fault := r.ClockFault(); r.State().Count(fsm.Gone) != 0 || fault != nil {
			t.Errorf("%d gone agents are remembered, clock fault %v", r.State().Count(fsm.Gone), fault)
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}
