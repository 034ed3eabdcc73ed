package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Get reads any path of the interface as JSON.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	var text []byte
	err := c.call(ctx, always, http.MethodGet, path, nil, &text)
	return text, err
}

// Agent reads one agent; wire.ErrNotFound where there is none.
func (c *Client) Agent(ctx context.Context, id string, consistency registrar.Consistency) (*fsm.Agent, error) {
	var answer wire.Agent
	err := c.call(ctx, always, http.MethodGet, "/v1/agents/"+url.PathEscape(id)+"?"+parameters(consistency).Encode(), nil, &answer)
	return answer.Agent, err
}

// AgentQuery is which agents to list.
type AgentQuery struct {
	Phase       fsm.Phase // 0: all
	BySince     bool      // in the order of the last change of phase, not of the ids
	Consistency registrar.Consistency
	Page        int // agents asked for at a time; default 10,000
}

// Agents lists agents, page by page: each page is one State's, but agents may change between two. An error ends
// the list.
func (c *Client) Agents(ctx context.Context, q AgentQuery) iter.Seq2[*fsm.Agent, error] {
	return func(yield func(*fsm.Agent, error) bool) {
		v := parameters(q.Consistency)
		if q.Phase != 0 {
			v.Set("phase", q.Phase.String())
		}
		if q.BySince {
			v.Set("order", "since")
		}
		if q.Page == 0 {
			q.Page = 10_000
		}
		v.Set("limit", strconv.Itoa(q.Page))
		for {
			var page struct {
				Index  uint64       `json:"index"`
				Agents []*fsm.Agent `json:"agents"`
				Next   string       `json:"next"`
			}
			if err := c.call(ctx, always, http.MethodGet, "/v1/agents?"+v.Encode(), nil, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, agent := range page.Agents {
				if !yield(agent, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			v.Set("after", page.Next)
		}
	}
}

func parameters(consistency registrar.Consistency) url.Values {
	v := url.Values{}
	if consistency == registrar.Stale {
		v.Set("consistency", "stale")
	}
	return v
}

// Status is the first node's own that answers.
func (c *Client) Status(ctx context.Context) (wire.Status, error) {
	var status wire.Status
	err := c.call(ctx, always, http.MethodGet, "/v1/status", nil, &status)
	return status, err
}
