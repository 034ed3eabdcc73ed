package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
)

// Backup streams a snapshot of the registry from whichever node answers; fsm.ReadSnapshot tells whether it is whole.
// Nothing is tried again once the stream has begun. The caller closes it.
func (c *Client) Backup(ctx context.Context, consistency registrar.Consistency) (io.ReadCloser, error) {
	path := "/v1/backup"
	if consistency == registrar.Stale {
		path += "?consistency=stale"
	}
	c.learn(ctx)
	last := fmt.Errorf("no node answers: %w", log.ErrNotLeader)
	for _, node := range c.order() {
		response, err := c.send(ctx, node, http.MethodGet, path, nil)
		if err == nil && response.StatusCode == http.StatusOK {
			return response.Body, nil
		}
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
			err = errors.Join(refusal(node, response, text), response.Body.Close())
		}
		last = err
	}
	return nil, last
}
