package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// Announce keeps what the registry says of this member's addresses true, by asking the leader, until ctx ends.
// A leader announces itself when its reign begins.
func (a *API) Announce(ctx context.Context, self wire.Member) {
	const retry = time.Second
	for {
		state, superseded := a.Registrar.Next()
		status := a.Registrar.Status()
		announced, ok := state.Member(self.ID)
		isTrue := ok && announced.RaftAddr == self.RaftAddr && announced.HTTPAddr == self.HTTPAddr && announced.Format == self.Format
		var again <-chan time.Time
		if !isTrue && status.Role != log.Leader {
			if err := a.announce(ctx, status.Leader, self); err != nil && ctx.Err() == nil {
				a.logger.Debug("addresses not announced, trying again", "member", self.ID, "error", err)
			}
			again = time.After(retry)
			superseded = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-superseded:
		}
	}
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
