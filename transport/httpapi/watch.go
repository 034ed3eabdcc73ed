package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/transport/httpapi/wire"
)

// idle is how often a stream says that it still is one.
const idle = 10 * time.Second

// getWatch streams every change of an index above after, in order, one line each, for as long as the caller
// listens. It is the asked node's own view: an index that this node has yet to reach is waited for.
func (a *API) getWatch(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "after"); err != nil {
		return err
	}
	state := a.Registrar.State()
	after, given, err := number(r, "after")
	if err != nil {
		return err
	}
	if !given {
		after = state.Index()
	}
	if _, kept := state.Changes(after); !kept {
		return message{"changes after this index are no longer kept: read the registry and watch from its index", wire.ErrExpired}
	}
	a.metrics.watches.Inc()
	defer a.metrics.watches.Dec()
	w.Header().Set("Content-Type", "application/x-ndjson")
	s := &lines{w: w, control: http.NewResponseController(w)}
	if !s.flush() { // the caller learns at once that it is watching
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-a.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		if !a.watchOn(ctx, s, &after) {
			break
		}
	}
	return nil
}

// watchOn writes what has changed since after, or that nothing has; false: the stream is at its end.
func (a *API) watchOn(ctx context.Context, s *lines, after *uint64) bool {
	waiting, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	state, err := a.Registrar.Watch(waiting, *after)
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return s.line(wire.Indexed{Index: a.Registrar.State().Index()}) && s.flush()
	case err != nil:
		return false // the log is at its end
	}
	changes, kept := state.Changes(*after)
	if !kept {
		return false // the reader was too slow; asking again tells it so
	}
	for change := range changes {
		if !s.line(change) {
			return false
		}
	}
	*after = state.Index()
	return s.flush()
}

// lines writes NDJSON.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
}

func (l *lines) line(v any) bool {
	text, err := json.Marshal(v)
	if err != nil {
		return false
	}
	l.buf = append(append(l.buf, text...), '\n')
	return len(l.buf) < 1<<16 || l.flush()
}

// flush sends all lines to a reader that has patience to take them.
func (l *lines) flush() bool {
	_ = l.control.SetWriteDeadline(time.Now().Add(patience)) // not every writer has one
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err == nil && l.control.Flush() == nil
}
