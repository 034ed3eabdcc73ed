package fsm

// fielder is implemented by the pointer to everything that travels or rests as bytes: it lists pointers to
// the fields, in the order in which they are written, behind to. That one list is the encoding, both ways, and it is
// append-only: an array shorter than the list leaves the last fields at zero, a longer one is an error, for
// nobody skips what it does not know.
type fielder interface {
	fields(to []any) []any
}

// sequence is a slice of fielders; seq makes one.
type sequence interface {
	len() int
	add() fielder // appends a zero element and gives it
	at(i int) fielder
}

type slice[T any, P interface {
	*T
	fielder
}] struct{ s *[]T }

func seq[T any, P interface {
	*T
	fielder
}](s *[]T) sequence {
	return slice[T, P]{s}
}

func (l slice[T, P]) len() int         { return len(*l.s) }
func (l slice[T, P]) at(i int) fielder { return P(&(*l.s)[i]) }
func (l slice[T, P]) add() fielder {
	*l.s = append(*l.s, *new(T))
	return l.at(len(*l.s) - 1)
}
