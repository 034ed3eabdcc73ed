package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Announce keeps true what the registry and the membership say of this member's addresses and format, by asking the
// leader, until ctx ends. A leader sees to the rest of the members too, and raises the format.
func (a *API) Announce(ctx context.Context, self wire.Member) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	behind := ""
	for {
		status := a.Registrar.Status()
		announced, ok := a.Registrar.State().Member(self.ID)
		stale := !ok || announced.RaftAddr != self.RaftAddr || announced.HTTPAddr != self.HTTPAddr || announced.Format != self.Format
		var err error
		switch {
		case status.Role != log.Leader:
			behind = ""
			if stale {
				err = a.announce(ctx, status.Leader, self)
			}
		case stale: // its opening frame has said it, and somebody something else since
			_, err = a.propose(ctx, announcement(self), self.ID)
		default:
			behind, err = a.settle(ctx, self, behind)
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

func announcement(m wire.Member) fsm.AnnounceMember {
	return fsm.AnnounceMember{ID: m.ID, RaftAddr: m.RaftAddr, HTTPAddr: m.HTTPAddr, Format: m.Format}
}

// settle has the membership and the registry agree, and raises the format; behind is whom it waited for before.
func (a *API) settle(ctx context.Context, self wire.Member, behind string) (string, error) {
	state := a.Registrar.State() // before the list: whoever joins in between is listed and unknown, and is waited for
	var members []log.Replica
	if replicas, ok := a.Registrar.Replicas(); ok {
		var err error
		if members, err = replicas.List(ctx); err != nil {
			return behind, err
		}
		if self.RaftAddr != "" { // else the list is of those who run, and who does not is a member all the same
			if err := a.reconcile(ctx, state, replicas, members, self); err != nil {
				return behind, err
			}
		}
	}
	return a.raise(ctx, state, members, self, behind)
}

// reconcile has the leader listed with the address at which it now is, and those forgotten who are members no more, for
// who had one removed may not have come to that.
func (a *API) reconcile(ctx context.Context, state *fsm.State, replicas log.Replicas, members []log.Replica, self wire.Member) error {
	for announced := range state.Members() {
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
	return nil
}

// raise lets newer forms of operations be written once every member has announced that it reads them. It answers with
// who has not, and says so where that is others than before.
func (a *API) raise(ctx context.Context, state *fsm.State, members []log.Replica, self wire.Member, behind string) (string, error) {
	reads := self.Format
	if reads <= state.Format() {
		return "", nil
	}
	var waits []string
	wait := func(id string, format uint64) {
		reads = min(reads, format)
		waits = append(waits, fmt.Sprintf("%s reads %d", id, format))
	}
	for announced := range state.Members() {
		if announced.Format < self.Format {
			wait(announced.ID, announced.Format)
		}
	}
	for _, m := range members {
		if _, ok := state.Member(m.ID); !ok {
			wait(m.ID, 0) // until it has said it
		}
	}
	if reads > state.Format() {
		_, err := a.propose(ctx, fsm.RaiseFormat{Format: reads}, self.ID)
		if err == nil {
			a.logger.Info("every member reads a newer format, which is written from now on", "format", reads)
		}
		return behind, err
	}
	now := strings.Join(waits, ", ")
	if now != behind {
		a.logger.Info("a newer format waits for members", "format", self.Format, "waits", now)
	}
	return now, nil
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
