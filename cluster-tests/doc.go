// Package clustertests runs the real program as real processes on real disks and breaks it: SIGKILL, SIGSTOP,
// restarts, and what else faults can be had without privileges. It knows registrard from the outside only: its
// command line, its HTTP interface and transport/client; fsm for the structs of operations and nothing else.
//
//	build_test.go     the binary under test, built once with the race detector
//	cluster_test.go   Cluster and Node: start, kill, pause, stop, wait for what they must become
//	network_test.go   hosts in network namespaces, and what can be wrong between them; needs root
//	disk_test.go      file systems of their own, and what can be wrong with them; needs root
//	workload_test.go  clients that write, and what they were told
//	check_test.go     what must hold afterwards: all that was acknowledged is there, nodes agree
//	cut_test.go       a leader cut off from its followers, while clients reach it
//	run_test.go       run: a cluster under many kinds of clients, whose whole history is checked
//	clients_test.go   the clients: operators, masters, agents, readers, watchers
//	ask_test.go       one call of a client, as the history has it
//	faults_test.go    the table of faults; machine_test.go has what takes more than a line
//	jepsen_test.go    faults two at a time, for a short while or, by make soak, for long
//	planted_test.go   each checker finds the bug that it is there for
//
// A test waits for events, never for time; whatever has to become true is asked for until the test's deadline.
// What every test prints on a failure are the last lines of each node's log. docs/testing.md lists the faults
// and the bugs that were found with them.
package clustertests
