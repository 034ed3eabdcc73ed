package store

import (
	"errors"
	"strings"
	"testing"
)

type watched struct {
	*Guard
	failed chan error
}

// watch makes a guard whose time the test makes.
func watch(t *testing.T) watched {
	t.Helper()
	w := watched{failed: make(chan error, 2)}
	w.Guard = newGuard(func(err error) { w.failed <- err }, nil)
	t.Cleanup(w.Close)
	return w
}

func (w watched) pass(ticks int) {
	for range ticks {
		w.tick()
	}
}

// begin starts a write that ends when the test says so, and returns once it is under way.
func (w watched) begin(what string) (end func(error), answer <-chan error) {
	begun, ends, answers := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		answers <- w.Do(what, func() error {
			close(begun)
			return <-ends
		})
	}()
	<-begun
	return func(err error) { ends <- err }, answers
}

// The first write that fails breaks the guard: told once, answered ever after, and nothing more is written.
func TestGuardBreaksOnTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := watch(t)
	if err := w.Do("one", func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	if err := w.Do("two", func() error { return full }); !errors.Is(err, full) || !strings.Contains(err.Error(), "two") {
		t.Errorf("the failing write answered %v", err)
	}
	if err := <-w.failed; !errors.Is(err, full) {
		t.Errorf("told %v", err)
	}
	err := w.Do("three", func() error { t.Error("written after a failure"); return nil })
	if !errors.Is(err, full) {
		t.Errorf("the next write answered %v", err)
	}
	w.Fail(errors.New("another"))
	if len(w.failed) > 0 {
		t.Error("told twice")
	}
}

// A write that is not back within five seconds of ticks breaks the guard while it is still out, and is
// answered with an error even if it comes back well.
func TestGuardBreaksOnAStall(t *testing.T) {
	t.Parallel()
	w := watch(t)
	end, answer := w.begin("slow")
	w.pass(stall - 1)
	if w.Err() != nil {
		t.Error("broken too early")
	}
	w.pass(1)
	if err := <-w.failed; !strings.Contains(err.Error(), "slow: not written within 5s") {
		t.Errorf("told %v", err)
	}
	end(nil)
	if err := <-answer; err == nil {
		t.Error("a write that stalled was answered with success")
	}
}

// Writes that come back in time never add up.
func TestGuardCountsEachWriteAlone(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for range 3 {
		end, answer := w.begin("write")
		w.pass(stall - 1)
		end(nil)
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	w.pass(2 * stall) // nothing is out
	if err := w.Err(); err != nil {
		t.Error(err)
	}
}

// After Close writes fail and nobody is told.
func TestGuardClosed(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.Close()
	w.Close()
	if err := w.Do("late", func() error { return nil }); err == nil {
		t.Error("written after Close")
	}
	if len(w.failed) > 0 {
		t.Error("told of a Close")
	}
}
