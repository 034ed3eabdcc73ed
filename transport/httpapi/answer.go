package httpapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// write answers with a JSON value and a newline.
func write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		// All values are ours and can be written; this is a bug, and the answer must still be one.
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal","message":"the answer cannot be written","happened":"perhaps"}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller who is gone needs no answer
}

// answer is write for what went well.
func answer(w http.ResponseWriter, value any) error {
	write(w, http.StatusOK, value)
	return nil
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	status, body := wire.Describe(err)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	write(w, status, body)
}

// badRequest is an error that the caller made.
func badRequest(format string, args ...any) error {
	return message{fmt.Sprintf(format, args...), registrar.ErrInvalid}
}

func notFound(what string) error { return message{what, wire.ErrNotFound} }

// message is an error with the words that a caller is meant to read, and nothing before them.
type message struct {
	words string
	is    error
}

func (m message) Error() string { return m.words }
func (m message) Unwrap() error { return m.is }
