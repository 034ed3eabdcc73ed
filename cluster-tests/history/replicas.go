package history

import "sync"

// Replicas compares what nodes say of themselves. Its methods may be called from any goroutine.
type Replicas struct {
	mu         sync.Mutex
	at         map[uint64]replica
	violations []Violation
	compared   int
}

type replica struct{ node, digest, chain string }

// Saw notes that a node was at an index, with a digest of its registry and a chain of all that it applied.
func (r *Replicas) Saw(node string, index uint64, digest, chain string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[uint64]replica{}
	}
	now := replica{node, digest, chain}
	before, known := r.at[index]
	switch {
	case !known:
		r.at[index] = now
	case before.digest != digest || before.chain != chain:
		r.violations = append(r.violations, violation("replicas", "at index %d: %+v and %+v", index, before, now))
	case before.node != node:
		r.compared++
	}
}

// Differences are the indexes at which nodes differed.
func (r *Replicas) Differences() []Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Violation(nil), r.violations...)
}

// Compared is how often two nodes were seen at one index.
func (r *Replicas) Compared() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.compared
}
