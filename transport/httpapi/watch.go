package httpapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/cluster-tests/planted"
	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
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
	defer a.watches.Add(-1)
	if n := a.watches.Add(1); a.MaxWatches > 0 && n > int64(a.MaxWatches) {
		return message{fmt.Sprintf("%d watches are open already", a.MaxWatches), registrar.ErrBusy}
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
	history, err := a.Registrar.Watch(waiting, *after)
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return s.line(wire.Idle{Index: a.Registrar.State().Index(), Leader: a.Registrar.Status().Leader}) && s.flush()
	case err != nil:
		return false // the log is at its end
	}
	changes, kept := history.Changes(*after)
	if !kept {
		return false // the reader was too slow; asking again tells it so
	}
	if history.Index()-*after <= sharedEntries {
		s.buf = append(s.buf, a.shared.lines(*after, history.Index(), changes)...)
	} else {
		for change := range changes {
			if !s.line(change) {
				return false
			}
		}
	}
	if planted.WatchGap && time.Now().UnixNano()%32 == 0 {
		s.buf = s.buf[:0]
	}
	if *after = history.Index(); planted.WatchRepeat && *after%32 == 0 {
		*after--
	}
	return s.flush()
}

// sharedEntries bounds what is encoded for all watchers at once: those who are farther behind do not meet others there.
const sharedEntries = 16

// shared is the changes of the newest entries as text, which every watcher gets: they are encoded once.
type shared struct {
	mu     sync.Mutex
	recent [sharedEntries]span
	oldest int
}

type span struct {
	after, upTo uint64
	text        []byte
}

// lines is the text of the changes of the entries above after up to upTo, which the caller must not modify.
func (s *shared) lines(after, upTo uint64, changes iter.Seq[*fsm.Change]) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.recent {
		if known.after == after && known.upTo == upTo && upTo > 0 {
			return known.text
		}
	}
	var text lines
	for change := range changes {
		text.add(change)
	}
	s.recent[s.oldest] = span{after, upTo, text.buf}
	s.oldest = (s.oldest + 1) % len(s.recent)
	return text.buf
}

// lines writes NDJSON.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
}

func (l *lines) line(v any) bool {
	return l.add(v) && (len(l.buf) < 1<<16 || l.flush())
}

func (l *lines) add(v any) bool {
	text, err := json.Marshal(v)
	if err == nil {
		l.buf = append(append(l.buf, text...), '\n')
	}
	return err == nil
}

// flush sends all lines to a reader that has patience to take them.
func (l *lines) flush() bool {
	_ = l.control.SetWriteDeadline(time.Now().Add(patience)) // not every writer has one
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err == nil && l.control.Flush() == nil
}
