package httpapi

import (
	"bufio"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// patience is how long a reader may take to accept what is written to it before it is cut off.
const patience = 30 * time.Second

// stream writes a long answer piece by piece from one State, so that a list of a million needs no more memory
// than one of ten.
type stream struct {
	out     *bufio.Writer
	control *http.ResponseController
	err     error // of writing; the reader is gone, or too slow
	count   int
}

// begin opens an answer; every one of them starts with its index.
func begin(w http.ResponseWriter, index uint64) *stream {
	w.Header().Set("Content-Type", "application/json")
	s := &stream{out: bufio.NewWriterSize(w, 1<<16), control: http.NewResponseController(w)}
	s.raw(`{"index":` + strconv.FormatUint(index, 10))
	return s
}

func (s *stream) raw(text string) {
	if s.err == nil {
		_, s.err = s.out.WriteString(text)
	}
}

func (s *stream) value(v any) bool {
	if s.count%256 == 0 {
		_ = s.control.SetWriteDeadline(time.Now().Add(patience)) // not every writer has one
	}
	s.count++
	if s.err == nil {
		s.err = json.MarshalWrite(s.out, v)
	}
	return s.err == nil
}

// member writes one named value.
func (s *stream) member(name string, v any) {
	s.raw(`,"` + name + `":`)
	s.value(v)
}

// end closes the answer. What could not be written is the reader's loss.
func (s *stream) end() error {
	s.raw("}\n")
	if s.err == nil {
		s.err = s.out.Flush()
	}
	return nil
}

// list writes a named list of all that seq gives.
func list[T any](s *stream, name string, seq iter.Seq[T]) {
	s.raw(`,"` + name + `":[`)
	first := true
	for v := range seq {
		if !first {
			s.raw(",")
		}
		first = false
		if !s.value(v) {
			return
		}
	}
	s.raw("]")
}
