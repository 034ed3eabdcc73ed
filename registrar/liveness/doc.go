// Package liveness is what the leader knows about agents beyond the registry: who was heard from when. The
// registry says who should be there, the Watchman who is, and it has those marked unreachable who fell silent.
//
// Everything here is soft: it begins with a reign and ends with it. After a change of leader every admitted
// agent is awaited and has the whole window, whatever an earlier leader had counted. Heartbeats never touch
// the log; marking does, through ordinary operations proposed under the reign, so a deposed leader marks nobody.
//
//	config.go      Config: how patient, how fast, how many
//	clock.go       the watchman's time, and how it notices that the process stood still
//	roll.go        the roll: an entry an agent, and the wheel in which silence is found; pure, no clock
//	address.go     who has which hostname and port; which machines are down
//	pace.go        the removal rate and the removal limit; pure, no clock
//	watchman.go    Watchman: a reign from begin to end, heartbeats, following the registry
//	mark.go        the marker: last look, proposal, outcome
//	removals.go    may anybody be marked? alarms, Approve and Hold
//	register.go    the registration flows
//	frameworks.go  failover timeouts of disconnected frameworks
//	metrics.go     every metric, as data
//
// What it never does: write on behalf of an ended reign, keep anything on a disk, start a goroutine or a timer
// for an agent, or trust a wall clock for silence. That a process stood still is noticed by the gap that it
// leaves, and makes every silence begin anew: nobody could be heard meanwhile.
//
// Goroutines, all leader duties that the Registrar starts and ends: the watch, which turns the wheel; under it
// the marker, which alone marks; and the one that completes frameworks. A Watchman's mutex guards all that they
// share with callers, and is never held across a proposal.
package liveness
