package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/mastership"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Claim claims mastership; mastership.ErrHeld while another holds it. info is a JSON object with an "id". A claim
// that perhaps was made is made again, under a new epoch.
func (c *Client) Claim(ctx context.Context, info []byte, ttl fsm.Duration) (mastership.Grant, error) {
	var grant mastership.Grant
	err := c.call(ctx, always, http.MethodPost, "/v1/master", wire.Claim{Info: jsontext.Value(info), TTL: ttl}, &grant)
	return grant, err
}

// Renew gives the lease its whole ttl again; mastership.ErrSuperseded when the epoch is not the current one.
func (c *Client) Renew(ctx context.Context, epoch uint64) error {
	return c.call(ctx, always, http.MethodPost, "/v1/master/renew", wire.Renewal{Epoch: epoch}, nil)
}

// Resign ends the epoch at once. mastership.ErrSuperseded says that it had ended already, perhaps by an earlier
// try of this very call.
func (c *Client) Resign(ctx context.Context, epoch uint64) error {
	return c.call(ctx, always, http.MethodDelete, "/v1/master?epoch="+strconv.FormatUint(epoch, 10), nil, nil)
}

// Master reads who holds mastership.
func (c *Client) Master(ctx context.Context, consistency registrar.Consistency) (wire.Master, error) {
	var answer wire.Master
	err := c.call(ctx, always, http.MethodGet, "/v1/master?"+parameters(consistency).Encode(), nil, &answer)
	return answer, err
}
