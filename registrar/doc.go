// Package registrar makes a registry of a log and a state machine: it has operations proposed, in batches, and
// tells each caller the truth about its own; it serves reads; it prunes. It works with any log.Log whose machine
// is an fsm.Registry, knows no network and no raft, and runs the same in a server and inside a master.
//
//	config.go     Config: sizes and ages
//	registrar.go  Registrar: Run, reigns, duties, Status
//	propose.go    a caller's side of a write: Apply, Propose
//	queue.go      requests that wait; who may still withdraw
//	writer.go     the one writer: queue, frame, log, answers
//	view.go       reads: View, Watch
//	prune.go      leader duty: forget by age and count
//	clock.go      leader duty: is this leader's clock to be believed?
//	compare.go    leader duty: do the members hold the same?
//	metrics.go    every metric and its meaning
//
// The life of a write: Propose encodes the operations, in the caller's goroutine, and queues them; the writer
// joins what waits into one frame while the frame before it is in flight, and has the log make it durable; the
// machine's outcomes are handed back. A caller that gives up while its request is queued withdraws it: "no".
// After that nobody can take it back: log.ErrUncertain, "perhaps". One atomic state in the request decides.
//
// Goroutines, all started in Run and ended before it returns: one that waits for reigns, which has the writer and
// a goroutine for each frame in flight while this node reigns; one for each duty, under the reign; one that asks
// the log for read indexes. The queue's mutex guards what waits; States need none.
//
// A line that decides whether an operation may happen belongs to fsm; one that decides when to ask for it is a
// duty, here or in liveness and mastership; one that speaks HTTP is transport/httpapi's.
package registrar
