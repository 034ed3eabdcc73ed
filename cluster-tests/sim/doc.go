// Package sim runs whole clusters in virtual time: real raft, the real log with its stores and files, the real
// registrar and state machine, in one testing/synctest bubble, over a network of its own. Hours pass in minutes.
//
//	network_test.go  links between lives: each direction cut, lossy, slow or with a heavy tail; request and answer apart
//	port_test.go     one life's end of the network: what raftlog needs of a transport
//	node_test.go     lives of members: started, crashed, left behind as zombies on a directory of their own
//	client_test.go   operators, masters with epochs, readers of both consistencies, watchers
//	nemesis_test.go  what goes wrong, and when
//	run_test.go      one seed from founding to verdict; monitors; what a failure leaves
//
// What it cannot model: a process that stands still (timers of one node cannot be held in a bubble), a disk that
// loses what was not synced, and sockets. Real processes have those (package clustertests). A seed draws the
// faults, but raft draws its own timeouts and the scheduler chooses too, so a seed is not a replay; the log that a
// failure leaves is: its frames give the same registry again, to the byte.
package sim
