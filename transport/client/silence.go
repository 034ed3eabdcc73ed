package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	waiting  = 150 * time.Millisecond // for an answer, before the node is asked whether it lives
	lifeSign = 350 * time.Millisecond // for the answer to that
)

// errSilent: the node answers nothing at all, not even that it lives. It is paused, or cut off from here.
var errSilent = errors.New("answers nothing any more")

// attended is a context for one try at a node: it ends when the node falls silent, so that a paused node keeps nobody
// for as long as a slow answer may take. It is for what may be asked again elsewhere.
func (c *Client) attended(ctx context.Context, node string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var look func()
	look = func() {
		if ctx.Err() != nil {
			return
		}
		if _, err, _ := c.looks.Do(node, func() (any, error) { return nil, c.lives(node) }); err != nil {
			cancel(fmt.Errorf("%w: %w", errSilent, err))
			return
		}
		time.AfterFunc(waiting, look)
	}
	first := time.AfterFunc(waiting, look)
	return ctx, func() {
		cancel(nil)
		first.Stop()
	}
}

// lives fails when the node does not answer in time, whatever it would say.
func (c *Client) lives(node string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lifeSign)
	defer cancel()
	response, err := c.send(ctx, node, http.MethodGet, "/livez", nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection serves again
	return response.Body.Close()
}
