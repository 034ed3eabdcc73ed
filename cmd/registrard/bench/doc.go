// Package bench measures a registry under load: a cluster that runs somewhere, over HTTP, or one of processes of
// this very program that it starts itself, over HTTP or from within the leader's process.
//
//	load.go      closed and open loops of callers, and what they measured
//	target.go    what the callers ask: a client over HTTP, or the Registrar in its own process
//	agents.go    the agents that it makes and takes away again
//	rows.go      the rows that any cluster can be measured by
//	watch.go     the row of many watchers
//	own.go       the rows that need a cluster of its own: sizes, memory, snapshots, restarts, lost disks
//	mesos.go     the benchmarks of the Mesos registrar, with its steps
//	cluster.go   such a cluster
//	inside.go    the other end: what one of its nodes does when it is told to
package bench
