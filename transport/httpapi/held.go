package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/registrard/registrard/registrar"
)

// How much of all requests is held in memory at a time, whoever asks and over however many connections. What a request
// is decoded to is some times its size.
const (
	maxHeld  = 64 << 20
	freeBody = 16 << 10 // of each request: it counts for nothing, and gets as much memory before it has come
)

// held is the body of a request that this node answers itself. What of it has come, beyond the first bytes, counts
// until the request is answered: a request that is slow takes no more than it has sent.
type held struct {
	io.ReadCloser
	all  *atomic.Int64 // of all requests
	came int64
	own  int64 // of all
}

// hold counts what a request brings until release is called.
func (a *API) hold(r *http.Request) (release func()) {
	h := &held{ReadCloser: r.Body, all: &a.held}
	r.Body = h
	return h.release
}

func (h *held) release() {
	h.all.Add(-h.own)
	h.own = 0
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.came += int64(n)
	if more := h.came - freeBody - h.own; more > 0 {
		h.own += more
		if h.all.Add(more) > maxHeld {
			h.release()
			_, _ = io.Copy(io.Discard, h.ReadCloser) // who still sends when the connection ends never reads the answer
			return 0, message{fmt.Sprintf("requests of more than %d bytes are under way already", maxHeld), registrar.ErrBusy}
		}
	}
	return n, err
}

// readAll reads a body of the length that its request declares, or -1. Its memory grows with what comes, to that
// length and no farther.
func readAll(body io.Reader, length int64) ([]byte, error) {
	size := int64(freeBody)
	for text := []byte(nil); ; size *= 2 {
		if int64(len(text)) <= length {
			size = min(size, length+1) // one more, to see its end
		}
		text = append(make([]byte, 0, size), text...)
		for len(text) < cap(text) {
			n, err := body.Read(text[len(text):cap(text)])
			text = text[:len(text)+n]
			if errors.Is(err, io.EOF) {
				return text, nil
			}
			if err != nil {
				return nil, err
			}
		}
	}
}
