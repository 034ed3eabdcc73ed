//go:build !planted

package planted

// The bugs, none of which are there.
const (
	AckEarly    = false // writes are acknowledged before a majority has them
	Diverge     = false // nodes make different things of the same entry
	DoubleApply = false // a repeated request id is a new operation
	IgnoreEpoch = false // superseded masters are obeyed
	Leak        = false // every request leaves a goroutine behind
	PerhapsIsNo = false // an unknown outcome is told as one that did not happen
	StaleRead   = false // linearizable reads are answered from whatever is there
	TimeTravel  = false // stale reads go back now and then
	WatchGap    = false // watchers are not told of some changes
	WatchRepeat = false // watchers are told of some changes twice
	Wedge       = false // a later leader takes no writes
)

// Older is what is now.
func Older[T any](now T) T { return now }

// Skew is how far this node's idea of the time is off.
func Skew() int64 { return 0 }
