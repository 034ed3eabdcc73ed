// Package mastership lets masters that run outside the cluster take turns: claim, renew, resign.
//
// The lease is soft. It lives in the leader's memory, is measured on its monotonic clock, and a new leader
// grants the holder one whole ttl, so a change of leader never costs a living master its place. It only keeps
// others from claiming. The epoch is hard: the State holds the current one, each claim makes a new one, and
// the machine itself rejects every operation that carries another, whoever was slow, paused or cut off.
//
// Nothing here decides whether an operation is applied; that is fsm's. Nothing is written but claims and
// resignations. Who watches for a change of mastership watches the registry's changes of kind master.claim.
//
// It owns one goroutine, a leader duty that the Registrar starts and ends with each reign.
package mastership
