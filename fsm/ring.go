package fsm

import "iter"

const chunkLen = 1024

// ring is a queue of what happened last: values are pushed at the back and dropped at the front. It is a value
// that may be kept: what a copy sees never changes, for the ring it was copied from writes only behind it.
type ring[T any] struct {
	chunks      []*[chunkLen]T // the first holds element first
	first, next uint64         // numbers of the first element and of the one to come
}

func (r *ring[T]) push(v T) {
	if r.next%chunkLen == 0 || len(r.chunks) == 0 {
		// A new slice: copies of the ring must not see theirs move.
		r.chunks = append(r.chunks[:len(r.chunks):len(r.chunks)], new([chunkLen]T))
	}
	*r.at(r.next) = v
	r.next++
}

// drop lets go of all elements below number first.
func (r *ring[T]) drop(first uint64) {
	r.chunks = r.chunks[min(first/chunkLen-r.first/chunkLen, uint64(len(r.chunks))):]
	r.first = first
}

// at gives element n, which must be there.
func (r *ring[T]) at(n uint64) *T {
	return &r.chunks[n/chunkLen-r.first/chunkLen][n%chunkLen]
}

func (r *ring[T]) len() uint64 { return r.next - r.first }

// all gives the elements from number n on.
func (r *ring[T]) all(n uint64) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for ; n < r.next; n++ {
			if !yield(r.at(n)) {
				return
			}
		}
	}
}
