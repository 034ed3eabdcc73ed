package wire

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/registrard/registrard/fsm"
)

// Operation is one operation as it is sent.
type Operation struct {
	Kind      fsm.Kind       `json:"kind"`
	Args      jsontext.Value `json:"args,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
}

// Operations is the body of POST /v1/operations.
type Operations struct {
	Operations []Operation `json:"operations"`
	Epoch      uint64      `json:"epoch,omitzero"`
	Seen       uint64      `json:"seen,omitzero"`
}

// Outcome is what one operation did.
type Outcome struct {
	Outcome string   `json:"outcome"` // changed, unchanged or rejected
	Code    fsm.Code `json:"code,omitempty"`
	Message string   `json:"message,omitempty"`
}

// Results answers Operations, one result for each in order.
type Results struct {
	Index   uint64    `json:"index"`
	Results []Outcome `json:"results"`
}

// Agent answers GET /v1/agents/{id}.
type Agent struct {
	Index uint64     `json:"index"`
	Agent *fsm.Agent `json:"agent"`
}

// Framework answers GET /v1/frameworks/{id}.
type Framework struct {
	Index     uint64         `json:"index"`
	Framework *fsm.Framework `json:"framework"`
}

// Registration is the body of POST /v1/agents/register.
type Registration struct {
	Agent fsm.AgentObject `json:"agent"`
}

// Heartbeats is the body of POST /v1/heartbeats.
type Heartbeats struct {
	Agents []string `json:"agents"`
}

// Heard answers Heartbeats: who was not noted, and why.
type Heard struct {
	Index       uint64   `json:"index"`
	Unknown     []string `json:"unknown"`     // must register
	Unreachable []string `json:"unreachable"` // must register again
	Gone        []string `json:"gone"`        // must stop for good
}

// Claim is the body of POST /v1/master.
type Claim struct {
	Info jsontext.Value `json:"info"`
	TTL  fsm.Duration   `json:"ttl"`
}

// Renewal is the body of POST /v1/master/renew.
type Renewal struct {
	Epoch uint64 `json:"epoch"`
}

// Master answers GET /v1/master; no Master: nobody holds it.
type Master struct {
	Index  uint64      `json:"index"`
	Epoch  uint64      `json:"epoch"`
	Master *fsm.Master `json:"master,omitempty"`
}

// Member is one member, as listed, and the body of POST /v1/members.
type Member struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	HTTPAddr string `json:"http_addr,omitempty"`
	Format   uint64 `json:"format,omitzero"` // the newest that it reads
	Role     string `json:"role,omitempty"`  // voter or learner
	Leader   bool   `json:"leader,omitzero"`
	Match    uint64 `json:"match,omitzero"` // the last index known to be on it; the leader knows
}

// Members answers GET /v1/members.
type Members struct {
	Index   uint64   `json:"index"`
	Cluster string   `json:"cluster"`
	Members []Member `json:"members"`
}

// Joined answers POST /v1/members.
type Joined struct {
	Index   uint64 `json:"index"`
	Cluster string `json:"cluster"`
}

// Indexed answers what has nothing more to say.
type Indexed struct {
	Index uint64 `json:"index"`
}

// Idle is a line of GET /v1/watch in which nothing has changed. A node that knows no leader has perhaps been removed or
// cut off for good, and its stream may never tell of a change again.
type Idle struct {
	Index  uint64 `json:"index"`
	Leader string `json:"leader"` // id, empty where none is known
}

// Status answers GET /v1/status.
type Status struct {
	ID       string `json:"id"`
	Cluster  string `json:"cluster"`
	Role     string `json:"role"`
	Leader   string `json:"leader"` // empty while unknown
	Term     uint64 `json:"term"`
	Index    uint64 `json:"index"`
	Commit   uint64 `json:"commit_index"`
	Last     uint64 `json:"last_index"`
	Reign    uint64 `json:"reign"`
	Epoch    uint64 `json:"epoch"`
	Format   uint64 `json:"format"`
	Queued   int    `json:"queued"`
	Agents   Counts `json:"agents"`
	Bytes    uint64 `json:"registry_bytes"`
	Digest   string `json:"digest"`
	Chain    string `json:"chain"`
	Version  string `json:"version,omitempty"`
	Liveness string `json:"liveness"` // on or off
}

// Counts is how many agents are in each phase.
type Counts struct {
	Admitted    int `json:"admitted"`
	Unreachable int `json:"unreachable"`
	Gone        int `json:"gone"`
}

// GetIndex is the index that an answer reflects.
func (r *Results) GetIndex() uint64 { return r.Index }

// GetIndex is the index that an answer reflects.
func (a *Agent) GetIndex() uint64 { return a.Index }

// GetIndex is the index that an answer reflects.
func (s *Status) GetIndex() uint64 { return s.Index }
