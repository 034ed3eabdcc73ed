package client

import (
	"context"
	"net/http"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Register runs an agent's registration, its first or a later one.
func (c *Client) Register(ctx context.Context, agent fsm.AgentObject) (liveness.Registration, error) {
	var answer liveness.Registration
	err := c.call(ctx, always, http.MethodPost, "/v1/agents/register", wire.Registration{Agent: agent}, &answer)
	return answer, err
}

// Heartbeats says that agents are there, and learns which of them must do something.
func (c *Client) Heartbeats(ctx context.Context, ids []string) (wire.Heard, error) {
	var answer wire.Heard
	err := c.call(ctx, always, http.MethodPost, "/v1/heartbeats", wire.Heartbeats{Agents: ids}, &answer)
	return answer, err
}

// Removals tells where the removal of silent agents stands.
func (c *Client) Removals(ctx context.Context) (liveness.Removals, error) {
	return c.removals(ctx, http.MethodGet, "/v1/removals")
}

// Approve has those marked that a removal alarm is about.
func (c *Client) Approve(ctx context.Context) (liveness.Removals, error) {
	return c.removals(ctx, http.MethodPost, "/v1/removals/approve")
}

// Hold has nobody marked until removals are approved.
func (c *Client) Hold(ctx context.Context) (liveness.Removals, error) {
	return c.removals(ctx, http.MethodPost, "/v1/removals/hold")
}

func (c *Client) removals(ctx context.Context, method, path string) (liveness.Removals, error) {
	var answer liveness.Removals
	err := c.call(ctx, always, method, path, nil, &answer)
	return answer, err
}
