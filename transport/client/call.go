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

// The pause between two rounds of all nodes is an eighth of what was waited already, within these bounds: an election
// of some milliseconds is not slept through, and a cluster that is down for long is not pressed.
const (
	firstPause = 10 * time.Millisecond
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
	for began := time.Now(); ; {
		nodes := c.order()
		for _, node := range nodes {
			try, done := ctx, context.CancelFunc(func() {})
			if again == always && len(nodes) > 1 {
				try, done = c.attended(ctx, node)
			}
			err := c.ask(try, node, method, path, body, into)
			if again == always && errors.Is(err, log.ErrUncertain) && answered(err) {
				perhaps = true
				err = c.askBriefly(try, err, node, method, path, body, into)
			}
			done()
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
			if !answered(err) {
				c.demote(node)
			}
			if ctx.Err() != nil {
				break
			}
		}
		c.forget() // whom there is to ask may have changed
		pause := min(max(time.Since(began)/8, firstPause), lastPause)
		wait := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-wait.C:
			c.learn(ctx)
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
	if indexed, ok := into.(interface{ GetIndex() uint64 }); ok {
		c.noteIndex(indexed.GetIndex())
	}
	return nil
}

// askBriefly asks a node again that has just answered "perhaps", for as long as a node that can answer takes as a rule.
// It may well have waited for a leader that is gone and have found another, and whoever is next may be the one that is
// gone. The error is the first one where this try settles nothing.
func (c *Client) askBriefly(ctx context.Context, first error, node, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, waiting)
	defer cancel()
	if err := c.ask(ctx, node, method, path, body, into); err == nil || !errors.Is(err, log.ErrUncertain) && !retryable(err) {
		return err
	}
	return first
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
	return fmt.Errorf("%w: %s %w: %w", log.ErrUncertain, node, errNoAnswer, err)
}

// errNoAnswer: a request was sent, and its answer did not come.
var errNoAnswer = errors.New("did not answer")

// answered tells whether an error is a node's own answer. Who gave none is asked last from then on.
func answered(err error) bool { return !errors.Is(err, errUnreachable) && !errors.Is(err, errNoAnswer) }

// refusal is an answer that is an error.
func refusal(node string, response *http.Response, text []byte) error {
	var said wire.Error
	if json.Unmarshal(text, &said) == nil && said.Code != "" {
		return said.Restore()
	}
	return fmt.Errorf("%s answered %s, which is not registrard's way: %w", node, response.Status, wire.ErrRefused)
}

// learn asks for the members, once, and keeps their addresses beside the given ones. Who is behind what was seen already
// is passed over: one that was removed, or has only just joined, may know nobody who is left. Without an answer those
// that are known have to do, and the next call tries again.
func (c *Client) learn(ctx context.Context) {
	c.mu.Lock()
	known := c.learned || c.askOnly
	c.mu.Unlock()
	if known {
		return
	}
	for _, node := range c.order() {
		var members wire.Members
		seen := c.Seen() // what is seen while the node answers it need not know
		try, done := c.attended(ctx, node)
		err := c.ask(try, node, http.MethodGet, "/v1/members?consistency=stale", nil, &members)
		done()
		if err != nil || members.Index < seen {
			continue
		}
		urls := slices.Clone(c.given)
		for _, member := range members.Members {
			if member.HTTPAddr != "" {
				urls = append(urls, c.scheme+"://"+member.HTTPAddr)
			}
		}
		isMember := func(n string) bool {
			return slices.ContainsFunc(urls, func(url string) bool { return strings.EqualFold(n, url) })
		}
		c.mu.Lock()
		c.learned = true
		c.nodes = slices.DeleteFunc(c.nodes, func(n string) bool { return !isMember(n) })
		for _, url := range urls {
			if !slices.ContainsFunc(c.nodes, func(n string) bool { return strings.EqualFold(n, url) }) {
				c.nodes = append(c.nodes, url)
			}
		}
		c.mu.Unlock()
		c.noteIndex(members.Index)
		return
	}
}

// forget has the next call learn the members again.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned = false
}
