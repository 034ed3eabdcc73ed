// Package history records what clients asked of a registry and what they were told, and finds out whether it can
// be true. It knows no transport, no process and no line of the program under test: the rules that it checks are
// written down here a second time, from the description of the interface.
//
//	history.go   Call, History: invocations and answers in the order in which they were seen
//	agent.go     what each operation does to one agent
//	linear.go    is there an order in which all answers about an agent make sense? (porcupine)
//	order.go     no answer reflects less than an earlier one; no session goes back
//	ledger.go    all that was acknowledged is in the log, once; nothing is that was answered with "no"
//	reads.go     every answer of a read is what the log says was there at its index
//	fence.go     nothing is applied under an epoch that is not the current one
//	watch.go     a watcher saw every change, once, in order
//	replicas.go  nodes at one index are equal
//	check.go     all of it at once
//
// Every checker is linear or nearly so in the length of the history, but for porcupine, whose cost grows with the
// unknown answers about one agent: clients should leave an agent alone after a few.
package history
