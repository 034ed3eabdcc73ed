package liveness

import (
	"fmt"
	"time"

	"github.com/registrard/registrard/log"
)

// author is who marks, as records and changes name it.
const author = "watchman"

// Alarm is why nobody is marked, although somebody may be due. Each stays up until its cause is gone or a
// person decides.
type Alarm string

const (
	NoAlarm    Alarm = ""
	LimitAlarm Alarm = "limit" // more agents are missing than the removal limit allows
	HoldAlarm  Alarm = "hold"  // a person said so
	ClockAlarm Alarm = "clock" // this leader's clock is not to be believed: see registrar.Registrar.ClockFault
)

// Removals is where the removal of silent agents stands. It is the leader's, and empty elsewhere.
type Removals struct {
	Alarm   Alarm     `json:"alarm"`
	Since   time.Time `json:"since,omitzero"`    // of the alarm
	Message string    `json:"message,omitempty"` // what the alarm means, and what can be done

	Admitted int `json:"admitted"` // agents watched
	Awaited  int `json:"awaited"`  // of them: not heard from in this reign
	Missing  int `json:"missing"`  // of them: count against the limit, silent for all but one of the heartbeats that may be missed or longer
	Waiting  int `json:"waiting"`  // of them: due, waiting for their turn
	Recent   int `json:"recent"`   // marked within the last window, and counted against the limit for it

	// Since this process began to serve.
	Marked      uint64 `json:"marked"`
	Spared      uint64 `json:"spared"`      // heard from while they waited for their turn
	Heartbeats  uint64 `json:"heartbeats"`  // of watched agents
	Standstills uint64 `json:"standstills"` // pauses and jumps of the clock, at which every silence began anew
}

// removals is what of a reign decides whether anybody may be marked. Guarded by the Watchman's mutex.
type removals struct {
	alarm   Alarm
	since   time.Time
	text    string
	told    time.Duration // when the alarm was logged last
	alarmed time.Duration // when it was up last
	calm    time.Duration // when anybody may be marked again after it
	held    bool          // a person said so
	trusted bool          // a person said that the clock is right
	failed  bool          // the last proposal did not happen
	recent  tally
}

// Removals answers at once, on any node.
func (w *Watchman) Removals() Removals {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := Removals{Marked: w.marked, Spared: w.spared, Heartbeats: w.heartbeats, Standstills: w.standstills}
	if !w.watching() {
		return answer
	}
	_, now := w.look()
	w.judge(now)
	answer.Alarm, answer.Since, answer.Message = w.alarm, w.since, w.text
	answer.Admitted, answer.Awaited = len(w.roll.byID), w.roll.awaited
	answer.Missing, answer.Waiting = w.roll.absent, w.roll.queued
	answer.Spared += w.roll.spared
	answer.Recent = w.recent.count(now, w.cfg.Window)
	return answer
}

// Approve ends any alarm: those missing now are marked, at the removal rate and whatever the limit says, but
// for those that are heard from before their turn. A hold ends, and the clock is taken to be right for the rest
// of the reign. Agents that fall silent later meet the limit again. Fails with log.ErrNotLeader outside a reign.
func (w *Watchman) Approve() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.watching() {
		return fmt.Errorf("approve removals: %w", log.ErrNotLeader)
	}
	_, now := w.look()
	w.roll.turn(now)
	w.held, w.trusted, w.calm = false, w.trusted || w.alarm == ClockAlarm, 0
	n := w.roll.approve()
	w.logger.Warn("removals approved", "agents", n)
	if w.judge(now) {
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
	_, now := w.look()
	w.held = true
	w.judge(now)
	return nil
}

// judge says whether anybody may be marked now, and raises or clears the alarm.
func (w *Watchman) judge(now time.Duration) bool {
	recent := w.recent.count(now, w.cfg.Window)
	missing, whole := w.roll.absent+recent, len(w.roll.byID)+recent
	fault := w.registrar.ClockFault()
	switch {
	case w.cfg.Passive:
		w.raise(NoAlarm, now, "")
		return false
	case w.held:
		w.raise(HoldAlarm, now, "removals are on hold until they are approved")
	case fault != nil && !w.trusted:
		w.raise(ClockAlarm, now, fmt.Sprintf("%s: correct it, hand leadership over, or approve to go on", fault))
	case w.roll.queued > 0 && w.cfg.RemovalLimit.exceeded(missing, whole):
		w.raise(LimitAlarm, now, fmt.Sprintf("%d of %d agents are missing or were marked within %s, more than the limit of %s: "+
			"approve to have them marked, or hold", missing, whole, w.cfg.Window, w.cfg.RemovalLimit))
	default:
		w.raise(NoAlarm, now, "")
	}
	// An alarm that ends by itself ends because agents come back. Those who come back together need one heartbeat
	// until the last of them was heard from, and must not be marked as soon as enough others were.
	return w.alarm == NoAlarm && now >= w.calm
}

// raise sets the alarm and logs what is new, and what has stood for another window.
func (w *Watchman) raise(alarm Alarm, now time.Duration, text string) {
	if w.text = text; alarm != NoAlarm {
		w.alarmed, w.calm = now, now+w.cfg.Heartbeat
	}
	if alarm == w.alarm && (alarm == NoAlarm || now-w.told < w.cfg.Window) {
		return
	}
	if alarm == NoAlarm {
		w.logger.Info("removal alarm is over", "alarm", w.alarm)
	} else {
		w.logger.Error("nobody is marked unreachable: "+text, "alarm", alarm, "waiting", w.roll.queued)
	}
	if alarm != w.alarm {
		w.since = w.clock.when.UTC()
	}
	w.alarm, w.told = alarm, now
}

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
