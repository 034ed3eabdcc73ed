//go:build !nextformat

package fsm

// Format is the newest format that this program reads.
const Format = 1
