// Package httpapi is the face of a node: the Registrar, liveness, mastership and membership over HTTP and JSON.
// It decides nothing about the registry. docs/api.md is the reference of what it answers.
//
//	api.go         Config, API: what it needs, and the handler
//	routes.go      one table: path, handler, and who must answer
//	forward.go     what only the leader can answer is passed on to it, once
//	decode.go      strict JSON: unknown and repeated names, wrong types and trailing bytes are errors
//	answer.go      how answers and errors are written
//	operations.go  POST /v1/operations
//	agents.go reads.go      lists and records, streamed from one State
//	watch.go       the change stream
//	liveness.go master.go members.go status.go   the rest of the routes
//	announce.go    a follower tells the leader its own addresses
//	metrics.go     what is counted
//	wire/          shapes and the error table, shared with transport/client
//
// A handler returns an error or writes an answer, never both; the table in wire/errors.go alone turns errors
// into statuses. No goroutine lives longer than its request, but Announce, which its caller runs.
package httpapi
