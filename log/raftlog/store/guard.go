package store

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	tick  = 100 * time.Millisecond
	stall = 50 // ticks: five seconds
)

// Guard watches the writes of log and vote. The first that fails, or that is not back within five seconds,
// is the last: fail is called once with the reason, and every later write answers with it. The library
// would otherwise keep a node with a broken disk electable and a leader with a frozen one in office.
//
// Time is counted in ticks that arrive, not read from a clock: a process that was paused has missed them
// and is not blamed on the disk.
type Guard struct {
	fail func(error)
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	err    error
	writes map[*write]struct{} // not back yet
}

type write struct {
	what string
	age  int // ticks
}

// NewGuard starts watching. fail is called from the goroutine of the write that failed, before that
// returns, or from the Guard's own where one is stalled; it must neither wait for a write nor call a store.
func NewGuard(fail func(error)) *Guard {
	ticker := time.NewTicker(tick)
	g := newGuard(fail, ticker.C)
	go func() {
		<-g.done
		ticker.Stop()
	}()
	return g
}

func newGuard(fail func(error), ticks <-chan time.Time) *Guard {
	g := &Guard{fail: fail, stop: make(chan struct{}), done: make(chan struct{}), writes: make(map[*write]struct{})}
	go g.watch(ticks)
	return g
}

func (g *Guard) watch(ticks <-chan time.Time) {
	defer close(g.done)
	for {
		select {
		case <-ticks:
			g.tick()
		case <-g.stop:
			return
		}
	}
}

func (g *Guard) tick() {
	var stalled *write
	g.mu.Lock()
	for w := range g.writes {
		if w.age++; w.age >= stall {
			stalled = w
		}
	}
	g.mu.Unlock()
	if stalled != nil {
		g.broken(fmt.Errorf("%s: not written within %v", stalled.what, stall*tick))
	}
}

// Do runs a write under watch. what names it and its file.
func (g *Guard) Do(what string, f func() error) error {
	w := &write{what: what}
	g.mu.Lock()
	if g.err != nil {
		defer g.mu.Unlock()
		return g.err
	}
	g.writes[w] = struct{}{}
	g.mu.Unlock()

	err := f()

	g.mu.Lock()
	delete(g.writes, w)
	g.mu.Unlock()
	if err != nil {
		g.broken(fmt.Errorf("%s: %w", what, err))
	}
	return g.Err()
}

// Fail breaks the guard from outside a write, as when a read finds damage.
func (g *Guard) Fail(err error) { g.broken(err) }

// Err is why no write is possible any more, nil while all is well.
func (g *Guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *Guard) broken(err error) {
	g.mu.Lock()
	first := g.err == nil
	if first {
		g.err = err
	}
	g.mu.Unlock()
	if first {
		g.fail(err)
	}
}

var errGuardClosed = errors.New("store closed")

// Close stops watching. Writes after it fail, without a call of fail. It does not wait for a stalled write.
func (g *Guard) Close() {
	g.mu.Lock()
	if g.err == nil {
		g.err = errGuardClosed
	}
	g.mu.Unlock()
	select {
	case <-g.stop:
	default:
		close(g.stop)
	}
	<-g.done
}
