package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// While as much of requests is held as may be, one that brings more is told that the node is busy, and small ones are
// answered; what was held is given back, however a request ended.
func TestWhatIsHeldOfRequestsIsBounded(t *testing.T) {
	n := newNode(t).leads()
	small := `{"operations":[{"kind":"agent.remove","args":{"id":"a1"}}]}`
	large := small + strings.Repeat(" ", freeBody)
	for _, c := range []struct {
		held   int64
		body   string
		status int
	}{
		{0, large, http.StatusOK},
		{maxHeld, large, http.StatusTooManyRequests},
		{maxHeld, small, http.StatusOK},
		{maxHeld - int64(len(large)), large, http.StatusOK},
		{0, large + "x", http.StatusBadRequest},
	} {
		n.held.Store(c.held)
		status, text := n.do(http.MethodPost, "/v1/operations", c.body)
		if status != c.status || status != http.StatusOK && !strings.Contains(text, `"happened":"no"`) {
			t.Errorf("%d bytes while %d are held: %d %s", len(c.body), c.held, status, text)
		}
		if now := n.held.Load(); now != c.held {
			t.Errorf("%d bytes are held after %d", now, c.held)
		}
	}
}

// A request is read whole, whatever length it declares, into memory that grows with what has come.
func TestReadAll(t *testing.T) {
	for _, size := range []int{0, 1, freeBody - 1, freeBody, freeBody + 1, 4 * freeBody, 5*freeBody + 7} {
		want := bytes.Repeat([]byte("registrard"), size/10+1)[:size]
		for _, declared := range []int{size, -1, size / 2} {
			got, err := readAll(iotest.HalfReader(bytes.NewReader(want)), int64(declared))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, declared %d: %d were read, %v", size, declared, len(got), err)
			}
			if declared == size && cap(got) > size+size/4+64 {
				t.Errorf("%d bytes took %d", size, cap(got))
			}
		}
	}
	if _, err := readAll(iotest.ErrReader(io.ErrUnexpectedEOF), maxBody); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader that fails: %v", err)
	}
}
