//go:build planted

package planted

import (
	"os"
	"slices"
	"strings"
	"sync"
)

// The bugs that are there.
var (
	AckEarly    = planted("ack-early")
	Diverge     = planted("diverge")
	DoubleApply = planted("double-apply")
	IgnoreEpoch = planted("ignore-epoch")
	Leak        = planted("leak")
	PerhapsIsNo = planted("perhaps-is-no")
	StaleRead   = planted("stale-read")
	TimeTravel  = planted("time-travel")
	WatchGap    = planted("watch-gap")
	WatchRepeat = planted("watch-repeat")
	Wedge       = planted("wedge")
)

func planted(bug string) bool {
	return slices.Contains(strings.Split(os.Getenv("REGISTRARD_PLANT"), ","), bug)
}

var past struct {
	sync.Mutex
	kept []any
}

// Older is now and then what was there a few calls ago.
func Older[T any](now T) T {
	past.Lock()
	defer past.Unlock()
	past.kept = append(past.kept, now)
	if !TimeTravel || len(past.kept) < 10 {
		return now
	}
	old := past.kept[0].(T)
	past.kept = nil
	return old
}

// Skew is how far this node's idea of the time is off, in nanoseconds.
func Skew() int64 {
	if Diverge {
		return int64(os.Getpid())
	}
	return 0
}
