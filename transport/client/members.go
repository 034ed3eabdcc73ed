package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Members lists the cluster's members.
func (c *Client) Members(ctx context.Context, consistency registrar.Consistency) (wire.Members, error) {
	var answer wire.Members
	err := c.call(ctx, always, http.MethodGet, "/v1/members?"+parameters(consistency).Encode(), nil, &answer)
	return answer, err
}

// AddMember adds a member, or records its new addresses, and answers the cluster's id.
func (c *Client) AddMember(ctx context.Context, m wire.Member) (wire.Joined, error) {
	var answer wire.Joined
	err := c.call(ctx, always, http.MethodPost, "/v1/members", m, &answer)
	return answer, err
}

// RemoveMember takes a member out of the cluster.
func (c *Client) RemoveMember(ctx context.Context, id string) error {
	return c.call(ctx, afterNo, http.MethodDelete, "/v1/members/"+url.PathEscape(id), nil, nil)
}

// Lead hands leadership to a member.
func (c *Client) Lead(ctx context.Context, id string) error {
	return c.call(ctx, always, http.MethodPost, "/v1/members/"+url.PathEscape(id)+"/lead", nil, nil)
}
