package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Watch gives every change of an index above after, in order, without gap or repeat, over broken streams and
// lost nodes, until ctx ends or the caller stops. The error that ends it is wire.ErrExpired when some changes
// are no longer kept, and ctx's otherwise.
func (c *Client) Watch(ctx context.Context, after uint64) iter.Seq2[*fsm.Change, error] {
	return func(yield func(*fsm.Change, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		c.learn(ctx)
		learning := c.keepLearning(ctx)
		defer func() {
			cancel()
			<-learning
		}()
		w := watch{after: after}
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			for _, node := range c.order() {
				err := w.follow(ctx, c, node, yield)
				switch {
				case w.stopped:
					return
				case ctx.Err() != nil:
					yield(nil, ctx.Err())
					return
				case errors.Is(err, wire.ErrExpired), err != nil && !retryable(err):
					yield(nil, err)
					return
				}
				if w.moved {
					pause, w.moved = firstPause, false
				}
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// learnEvery is between two looks at who the members are while a watch goes on.
const learnEvery = 5 * time.Second

// keepLearning learns who the members are until ctx ends; the channel is closed then. A stream may last until all
// members that were known at its start have been replaced, one by one.
func (c *Client) keepLearning(ctx context.Context) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(learnEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.forget()
				c.learn(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return ended
}

// watch is how far a stream of changes has come.
type watch struct {
	after   uint64 // every change up to this index was given
	partial uint64 // index of which some changes were given, and how many
	given   int
	moved   bool
	stopped bool
}

// silence is after how long a stream is given up: three of the lines that idle streams get.
const silence = 30 * time.Second

// follow reads one stream to its end.
func (w *watch) follow(ctx context.Context, c *Client, node string, yield func(*fsm.Change, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	response, err := c.send(ctx, node, http.MethodGet, "/v1/watch?after="+strconv.FormatUint(w.after, 10), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return refusal(node, response, text)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	skip := 0
	if w.partial > w.after {
		skip = w.given
	}
	for lines.Scan() {
		watchdog.Reset(silence)
		var change fsm.Change
		if err := json.Unmarshal(lines.Bytes(), &change); err != nil {
			return nil // a line cut off by the end of the stream
		}
		if change.Kind == "" { // the stream lives, and that is all
			var idle wire.Idle
			if err := json.Unmarshal(lines.Bytes(), &idle); err != nil || idle.Leader == "" {
				return nil // the node was removed or is cut off, perhaps for good; another knows more
			}
			continue
		}
		if skip > 0 && change.Index == w.partial {
			skip--
			continue
		}
		if change.Index != w.partial {
			w.partial, w.given = change.Index, 0
		}
		w.given++
		w.moved = true
		if !yield(&change, nil) {
			w.stopped = true
			return nil
		}
		if change.Last {
			w.after = change.Index
			c.noteIndex(change.Index)
		}
	}
	return nil
}
