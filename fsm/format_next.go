//go:build nextformat

package fsm

// Format in a program of the version after this one, for TestRollingUpgrade: it reads one format more, in which nothing
// is new yet. No such program is ever shipped.
const Format = 2
