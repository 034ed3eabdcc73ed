package logtest

import (
	"fmt"
	"sync"
	"testing"
)

// The machine is compared before and after a snapshot, after more commands, and after reopening, twice:
// from the snapshot with nothing behind it, and with commands behind it.
func snapshot(t *testing.T, b Backend) {
	n := start(t, b)
	want := n.fill("before", 20)
	n.snapshot()
	n.holds(want)
	n.stop()

	n.reopen()
	n.holds(want)
	if n.machine.Restored() == 0 {
		t.Error("reopened without reading the snapshot")
	}
	want = append(want, n.fill("after", 10)...)
	n.snapshot()
	n.snapshot() // with nothing new in between
	want = append(want, n.fill("last", 3)...)
	n.holds(want)
	n.stop()

	n.reopen()
	n.holds(want)
}

func snapshotUnderWay(t *testing.T, b Backend) {
	n := start(t, b)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := n.try(fmt.Sprintf("c-%d", i)); err != nil {
				t.Errorf("propose: %v", err)
				return
			}
		}
	})
	for range 5 {
		n.snapshot()
	}
	close(stop)
	running.Wait()
	want := n.machine.Entries()
	n.stop()
	n.reopen()
	n.holds(want)
}
