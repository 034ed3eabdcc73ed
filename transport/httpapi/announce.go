package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Announce keeps true what the registry and the membership say of this member's addresses, by asking the leader,
// until ctx ends.
func (a *API) Announce(ctx context.Context, self wire.Member) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		status := a.Registrar.Status()
		announced, ok := a.Registrar.State().Member(self.ID)
		var err error
		if status.Role == log.Leader {
			err = a.settle(ctx, self) // what the registry says, its opening frame has said
		} else if !ok || announced.RaftAddr != self.RaftAddr || announced.HTTPAddr != self.HTTPAddr || announced.Format != self.Format {
			err = a.announce(ctx, status.Leader, self)
		}
		if err != nil && ctx.Err() == nil {
			a.logger.Debug("addresses not announced, trying again", "member", self.ID, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// settle has a leader listed with the address at which it now is, those forgotten who are members no more, for who had
// one removed may not have come to that, and the format raised.
func (a *API) settle(ctx context.Context, self wire.Member) error {
	replicas, ok := a.Registrar.Replicas()
	if !ok {
		return nil
	}
	members, err := replicas.List(ctx)
	if err != nil {
		return err
	}
	for announced := range a.Registrar.State().Members() {
		if !slices.ContainsFunc(members, func(m log.Replica) bool { return m.ID == announced.ID }) {
			if _, err := a.propose(ctx, fsm.ForgetMember{ID: announced.ID}, self.ID); err != nil {
				return err
			}
		}
	}
	for _, m := range members {
		if m.ID == self.ID && m.Addr != self.RaftAddr {
			return replicas.Add(ctx, log.Replica{ID: self.ID, Addr: self.RaftAddr})
		}
	}
	return a.raise(ctx, members, self.ID)
}

// raise lets newer forms of operations be written once every member has announced that it reads them.
func (a *API) raise(ctx context.Context, members []log.Replica, by string) error {
	state := a.Registrar.State()
	reads := uint64(fsm.Format)
	for _, m := range members {
		announced, ok := state.Member(m.ID)
		if !ok {
			return nil
		}
		reads = min(reads, announced.Format)
	}
	if reads <= state.Format() {
		return nil
	}
	_, err := a.propose(ctx, fsm.RaiseFormat{Format: reads}, by)
	if err == nil {
		a.logger.Info("every member reads a newer format, which is written from now on", "format", reads)
	}
	return err
}

func (a *API) announce(ctx context.Context, leader string, self wire.Member) error {
	member, ok := a.Registrar.State().Member(leader)
	if !ok || member.HTTPAddr == "" {
		return fmt.Errorf("the address of leader %q is not known", leader)
	}
	text, err := json.Marshal(self)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.proxy.scheme+"://"+member.HTTPAddr+"/v1/members", bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := a.proxy.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(body))
	}
	return nil
}
