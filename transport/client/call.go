package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// repeat says what is safe to ask again.
type repeat int

const (
	afterNo repeat = iota // only what certainly did not happen
	always                // reads, and writes that change nothing more the second time
)

// The pause between two rounds of all nodes.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// call asks one node after the other, and all of them again, until one answers or ctx ends. The error is the
// server's, or "perhaps" if one try may have happened and no later one could tell.
func (c *Client) call(ctx context.Context, again repeat, method, path string, request, into any) error {
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return fmt.Errorf("%w: %w", registrar.ErrInvalid, err)
		}
	}
	c.learn(ctx)
	perhaps := false
	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		for _, node := range c.order() {
			err := c.ask(ctx, node, method, path, body, into)
			if err == nil {
				c.prefer(node)
				return nil
			}
			last = err
			switch {
			case errors.Is(err, log.ErrUncertain):
				if again != always {
					return err
				}
				perhaps = true
			case !retryable(err):
				return err
			}
			c.demote(node)
			if ctx.Err() != nil {
				break
			}
		}
		wait := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-wait.C:
			continue
		case <-ctx.Done():
			wait.Stop()
		}
		if perhaps && !errors.Is(last, log.ErrUncertain) {
			return fmt.Errorf("%w: %w, last: %w", log.ErrUncertain, ctx.Err(), last)
		}
		return fmt.Errorf("%w: %w", last, ctx.Err())
	}
}

// retryable tells whether another node, or the same one later, may answer what this one could not.
func retryable(err error) bool {
	for _, is := range []error{log.ErrNotLeader, registrar.ErrBusy, registrar.ErrWithdrawn, log.ErrHalted, log.ErrClosed, errUnreachable, wire.ErrDown} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// errUnreachable: no byte of the request was sent, or it was one that changes nothing.
var errUnreachable = errors.New("cannot be reached")

// ask is one try at one node.
func (c *Client) ask(ctx context.Context, node, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.attempt)
	defer cancel()
	response, err := c.send(ctx, node, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return lost(method, node, true, err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(node, response, text)
	}
	if into == nil {
		return nil
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = text
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s answered what is not understood here: %w", node, err)
	}
	if answered, ok := into.(interface{ GetIndex() uint64 }); ok {
		c.noteIndex(answered.GetIndex())
	}
	return nil
}

// send writes one request and waits for the head of its answer.
func (c *Client) send(ctx context.Context, node, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, node+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", registrar.ErrInvalid, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	// The head is in a buffer before it is told of, and on the wire only after.
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	response, err := c.http.Do(request.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		return nil, lost(method, node, sent.Load(), err)
	}
	return response, nil
}

// lost says what it means that no answer came.
func lost(method, node string, sent bool, err error) error {
	if method == http.MethodGet || !sent {
		return fmt.Errorf("%s %w: %w", node, errUnreachable, err)
	}
	return fmt.Errorf("%w: %s did not answer: %w", log.ErrUncertain, node, err)
}

// refusal is an answer that is an error.
func refusal(node string, response *http.Response, text []byte) error {
	var answered wire.Error
	if json.Unmarshal(text, &answered) == nil && answered.Code != "" {
		return answered.Restore()
	}
	return fmt.Errorf("%s answered %s, which is not registrard's way: %w", node, response.Status, wire.ErrRefused)
}

// learn asks for the members, once, and adds those whose addresses are not known. Without an answer the given
// addresses have to do, and the next call tries again.
func (c *Client) learn(ctx context.Context) {
	c.mu.Lock()
	known := c.learned || c.askOnly
	c.mu.Unlock()
	if known {
		return
	}
	for _, node := range c.order() {
		var members wire.Members
		if c.ask(ctx, node, http.MethodGet, "/v1/members?consistency=stale", nil, &members) != nil {
			continue
		}
		c.mu.Lock()
		c.learned = true
		for _, member := range members.Members {
			if url := c.scheme + "://" + member.HTTPAddr; member.HTTPAddr != "" && !slices.ContainsFunc(c.nodes, func(n string) bool { return strings.EqualFold(n, url) }) {
				c.nodes = append(c.nodes, url)
			}
		}
		c.mu.Unlock()
		c.noteIndex(members.Index)
		return
	}
}
