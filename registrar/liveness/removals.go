package liveness

import (
	"fmt"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
)

// author is who marks, as records and changes name it.
const author = "watchman"

// clockTolerance is how far a leader's clock may be from where the log and its own past put it.
const clockTolerance = time.Minute

// Alarm is why nobody is marked, although somebody may be due. Each stays up until its cause is gone or a
// person decides.
type Alarm string

const (
	NoAlarm    Alarm = ""
	LimitAlarm Alarm = "limit" // more agents are missing than the removal limit allows
	HoldAlarm  Alarm = "hold"  // a person said so
	ClockAlarm Alarm = "clock" // this leader's clock jumped, or is behind the log
)

// Removals is where the removal of silent agents stands. It is the leader's, and empty elsewhere.
type Removals struct {
	Alarm   Alarm     `json:"alarm"`
	Since   time.Time `json:"since,omitzero"`    // of the alarm
	Message string    `json:"message,omitempty"` // what the alarm means, and what can be done

	Admitted int `json:"admitted"` // agents watched
	Awaited  int `json:"awaited"`  // of them: not heard from in this reign
	Missing  int `json:"missing"`  // of them: silent for all but one of the heartbeats that may be missed, or longer
	Waiting  int `json:"waiting"`  // of those: due, waiting for their turn
	Recent   int `json:"recent"`   // marked within the last window, other than by approval

	Marked int `json:"marked"` // in this process, ever
	Spared int `json:"spared"` // heard from while they waited their turn; in this reign
}

// removals is the part of a Watchman that decides whether anybody may be marked. Guarded by its mutex.
type removals struct {
	alarm  Alarm
	since  time.Time
	text   string
	told   time.Duration // when the alarm was logged last
	held   bool
	failed bool // the last proposal did not happen
	recent tally
	total  int
}

// begin forgets what belonged to a reign.
func (r *removals) begin() { *r = removals{total: r.total} }

// Removals answers at once, on any node.
func (w *Watchman) Removals() Removals {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := Removals{Marked: w.total}
	if !w.watching() {
		return answer
	}
	state, now := w.look()
	w.judge(state, now)
	answer.Alarm, answer.Since, answer.Message = w.alarm, w.since, w.text
	answer.Admitted, answer.Awaited = len(w.roll.byID), w.roll.awaited
	answer.Missing, answer.Waiting = w.roll.absent, w.roll.queued
	answer.Recent, answer.Spared = w.recent.count(now, w.cfg.Window), w.roll.spared
	return answer
}

// Approve ends any alarm: those missing now are marked, at the removal rate and whatever the limit says, but
// for those that are heard from before their turn. A hold ends, and the clock is taken to be right. Agents
// that fall silent later meet the limit again. Fails with log.ErrNotLeader outside a reign.
func (w *Watchman) Approve() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return fmt.Errorf("approve removals: %w", log.ErrNotLeader)
	}
	state, now := w.look()
	w.roll.turn(now)
	w.held = false
	w.anchor = w.wall(now)
	n := w.roll.approve()
	w.logger.Warn("removals approved", "agents", n)
	if w.judge(state, now) {
		w.wake()
	}
	return nil
}

// Hold marks nobody until Approve, or until the reign ends: the next leader starts with a whole window.
// Fails with log.ErrNotLeader outside a reign.
func (w *Watchman) Hold() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return fmt.Errorf("hold removals: %w", log.ErrNotLeader)
	}
	state, now := w.look()
	w.held = true
	w.judge(state, now)
	return nil
}

// judge says whether anybody may be marked now, and raises or clears the alarm.
func (w *Watchman) judge(state *fsm.State, now time.Duration) bool {
	recent := w.recent.count(now, w.cfg.Window)
	missing, whole := w.roll.absent+recent, len(w.roll.byID)+recent
	wall := w.cfg.Now()
	jump := w.wall(now).Sub(w.anchor).Round(time.Second)
	behind := state.Time().Time().Sub(wall).Round(time.Second)
	switch {
	case w.cfg.Passive:
		w.raise(NoAlarm, now, "")
		return false
	case w.held:
		w.raise(HoldAlarm, now, "removals are on hold until they are approved")
	case max(jump, -jump) > clockTolerance:
		w.raise(ClockAlarm, now, fmt.Sprintf("this leader's clock jumped by %s; correct it, or approve to go on", jump))
	case behind > clockTolerance:
		w.raise(ClockAlarm, now, fmt.Sprintf("this leader's clock is %s behind the log; correct it", behind))
	case w.roll.queued > 0 && w.cfg.RemovalLimit.exceeded(missing, whole):
		w.raise(LimitAlarm, now, fmt.Sprintf("%d of %d agents are missing or were marked within %s, more than the limit of %s: "+
			"approve to have them marked, or hold", missing, whole, w.cfg.Window, w.cfg.RemovalLimit))
	default:
		w.raise(NoAlarm, now, "")
	}
	return w.alarm == NoAlarm
}

// raise sets the alarm and logs what is new, and what has stood for another window.
func (w *Watchman) raise(alarm Alarm, now time.Duration, text string) {
	w.text = text
	if alarm == w.alarm && (alarm == NoAlarm || now-w.told < w.cfg.Window) {
		return
	}
	if alarm == NoAlarm {
		w.logger.Info("removal alarm is over", "alarm", w.alarm)
	} else {
		w.logger.Error("nobody is marked unreachable: "+text, "alarm", alarm, "waiting", w.roll.queued)
	}
	if alarm != w.alarm {
		w.since = w.cfg.Now().UTC()
	}
	w.alarm, w.told = alarm, now
}

// wall is where the wall clock says that the watchman's time began: it stays put unless the clock is set.
func (w *Watchman) wall(now time.Duration) time.Time { return w.cfg.Now().Round(0).Add(-now) }

// tally counts what happened within a span.
type tally struct {
	times []time.Duration // ascending
}

func (t *tally) add(now time.Duration) { t.times = append(t.times, now) }

func (t *tally) count(now, span time.Duration) int {
	old := 0
	for old < len(t.times) && now-t.times[old] > span {
		old++
	}
	if t.times = t.times[old:]; len(t.times) == 0 {
		t.times = nil
	}
	return len(t.times)
}
