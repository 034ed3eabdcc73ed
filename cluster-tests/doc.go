// Package clustertests runs the real program as real processes on real disks and breaks it: SIGKILL, SIGSTOP,
// restarts, and what else faults can be had without privileges. It knows registrard from the outside only: its
// command line, its HTTP interface and transport/client; fsm for the structs of operations and nothing else.
//
//	build_test.go    the binary under test, built once with the race detector
//	cluster_test.go Cluster and Node: start, kill, pause, stop, wait for what they must become
//	network_test.go  a machine of its own for each node, cables that are pulled, firewalls; needs root
//	workload_test.go  clients that write, and what they were told
//	check_test.go    what must hold afterwards: all that was acknowledged is there, nodes agree
//
// A test waits for events, never for time; whatever has to become true is asked for until the test's deadline.
// What every test prints on a failure are the last lines of each node's log. docs/testing.md lists the faults
// and the bugs that were found with them.
package clustertests
