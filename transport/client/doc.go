// Package client is a registrard cluster as a Go program sees it from outside: any node's address will do, the
// rest of the members is learnt, and a call goes on over a change of leader until its context ends.
//
//	client.go      Config, Client: addresses, what every call shares
//	call.go        one call: which node, how often, and what an error says of it
//	operations.go  Propose, Apply
//	reads.go       agents and the rest of the registry
//	watch.go       changes, resumed where a stream broke
//	master.go liveness.go members.go   the rest of the interface
//
// Errors are the server's own values: a *fsm.Rejection, log.ErrUncertain, registrar.ErrBusy and so on, by the
// table in httpapi/wire. Every operation gets a request id, so that asking again is safe and "perhaps" is left
// only where a caller's time ran out. A Client starts no goroutine and may be used from any.
package client
