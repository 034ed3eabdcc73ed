// Command registrard serves the registry of a cluster's agents, and talks to one that is served. It is wiring
// only: flags, files, sockets, signals, tables. What is decided is decided in the packages that it joins.
//
//	main.go      the table of commands; exit status
//	dev.go serve.go   one node, or a member of a cluster
//	server.go    what the two share: open, run, shut down, top to bottom
//	listen.go    addresses, certificates and the rules for both
//	backend.go   the one switch over backends
//	metrics.go   raft's metrics beside ours
//	client.go    flags and errors of the commands below
//	op.go load.go                proposing
//	agents.go reads.go watch.go status.go members.go removals.go   reading and deciding
//	table.go     answers for people
//	tidy_test.go the repository checks itself
package main
