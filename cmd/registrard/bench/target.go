package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/transport/client"
)

// target is what callers ask.
type target interface {
	// propose fails unless every operation was taken.
	propose(ctx context.Context, ops []fsm.Op) error
	read(ctx context.Context, id string, c registrar.Consistency) error
	heartbeats(ctx context.Context, ids []string) error
}

// remote is a cluster over HTTP, asked at its leader.
type remote struct {
	*client.Client
	leader string // URL
	raw    *http.Client
}

func (r *remote) propose(ctx context.Context, ops []fsm.Op) error {
	ps := proposals(ops)
	result, err := r.Propose(ctx, ps)
	if err != nil {
		return err
	}
	return taken(result)
}

func proposals(ops []fsm.Op) []fsm.Proposal {
	ps := make([]fsm.Proposal, len(ops))
	for i, op := range ops {
		ps[i].Op = op
	}
	return ps
}

func taken(result fsm.Result) error {
	for _, outcome := range result.Outcomes {
		if outcome.Rejection != nil {
			return outcome.Rejection
		}
	}
	return nil
}

func (r *remote) read(ctx context.Context, id string, c registrar.Consistency) error {
	_, err := r.Agent(ctx, id, c)
	return err
}

func (r *remote) heartbeats(ctx context.Context, ids []string) error {
	heard, err := r.Heartbeats(ctx, ids)
	if err != nil {
		return err
	}
	return known(len(heard.Unknown)+len(heard.Gone), len(ids))
}

func known(unknown, of int) error {
	if unknown > 0 {
		return fmt.Errorf("%d of %d agents are not known", unknown, of)
	}
	return nil
}

// usage is what the leading process has used so far and holds now, as its own metrics say.
type usage struct {
	cpu      time.Duration
	resident uint64
	term     uint64
}

func (r *remote) usage(ctx context.Context) (u usage, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.leader+"/metrics", nil)
	if err != nil {
		return u, err
	}
	response, err := r.raw.Do(request)
	if err != nil {
		return u, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		switch name {
		case "process_cpu_seconds_total":
			u.cpu = time.Duration(value * float64(time.Second))
		case "process_resident_memory_bytes":
			u.resident = uint64(value)
		case "registrard_term":
			u.term = uint64(value)
		}
	}
	if u.resident == 0 {
		return u, errors.New("the leader's metrics do not say what it uses")
	}
	return u, nil
}

// embedded is the Registrar in this process, which leads.
type embedded struct {
	node     *registrar.Registrar
	watchman *liveness.Watchman
}

func (e embedded) propose(ctx context.Context, ops []fsm.Op) error {
	result, err := e.node.Propose(ctx, proposals(ops))
	if err != nil {
		return err
	}
	return taken(result)
}

func (e embedded) read(ctx context.Context, id string, c registrar.Consistency) error {
	state, err := e.node.View(ctx, c)
	if err != nil {
		return err
	}
	if _, ok := state.Agent(id); !ok {
		return fmt.Errorf("agent %s is not known", id)
	}
	return nil
}

func (e embedded) heartbeats(_ context.Context, ids []string) error {
	heard, err := e.watchman.Heard(ids)
	if err != nil {
		return err
	}
	return known(len(heard.Unknown)+len(heard.Gone), len(ids))
}
