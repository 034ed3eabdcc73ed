package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/httpapi/wire"
	"github.com/registrard/registrard/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a node whose answers the test decides.
func scripted(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

func newClient(t *testing.T, addresses ...string) *Client {
	t.Helper()
	c, err := New(Config{Addresses: addresses, Attempt: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func say(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, err error) {
	status, body := wire.Describe(err)
	say(w, status, body)
}

// An operation that perhaps happened is asked again with the same request id, at another node, until somebody knows.
func TestAskingAgainIsSafe(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	var seen []uint64
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/members" {
			say(w, 200, wire.Members{Index: 7})
			return
		}
		var request wire.Operations
		if err := json.UnmarshalRead(r.Body, &request); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids, seen = append(ids, request.Operations[0].RequestID), append(seen, request.Seen)
		switch len(ids) {
		case 1:
			fail(w, log.ErrUncertain)
		case 2:
			fail(w, log.ErrNotLeader)
		case 3: // no answer at all
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		case 4:
			fail(w, registrar.ErrBusy)
		default:
			say(w, 200, wire.Results{Index: 9, Results: []wire.Outcome{{Outcome: "changed"}}})
		}
	}
	c := newClient(t, scripted(t, answer), scripted(t, answer))
	outcome, err := c.Apply(t.Context(), fsm.RemoveAgent{ID: "a1"})
	if err != nil || !outcome.Changed {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if len(ids) != 5 || ids[0] == "" || len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Errorf("request ids %v", ids)
	}
	if len(slices.Compact(slices.Clone(seen))) != 1 || seen[0] != 7 {
		t.Errorf("seen %v", seen)
	}
	if c.Seen() != 9 {
		t.Errorf("seen %d", c.Seen())
	}
}

// A node that says "perhaps" has waited for a leader that is gone, and may know of another: it is asked again before
// one that may be the one that is gone.
func TestWhoSaysPerhapsIsAskedAgainFirst(t *testing.T) {
	asked := 0
	follower := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/members" {
			say(w, 200, wire.Members{Index: 7})
			return
		}
		if asked++; asked == 1 {
			fail(w, log.ErrUncertain)
			return
		}
		say(w, 200, wire.Results{Index: 9, Results: []wire.Outcome{{Outcome: "changed"}}})
	})
	gone := scripted(t, func(http.ResponseWriter, *http.Request) { t.Error("the node that is gone was asked") })
	if _, err := newClient(t, follower, gone).Apply(t.Context(), fsm.RemoveAgent{ID: "a1"}); err != nil || asked != 2 {
		t.Errorf("%v after %d tries", err, asked)
	}
}

// When time runs out, "perhaps" is said if any try may have happened, and "no" if none can have.
func TestTruthWhenTimeRunsOut(t *testing.T) {
	for _, c := range []struct {
		answers []error
		perhaps bool
	}{
		{[]error{log.ErrNotLeader}, false},
		{[]error{registrar.ErrBusy, log.ErrNotLeader}, false},
		{[]error{log.ErrUncertain}, true},
		{[]error{log.ErrUncertain, log.ErrNotLeader}, true},
	} {
		var asked atomic.Int64
		cl := newClient(t, scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/members" {
				say(w, 200, wire.Members{})
				return
			}
			fail(w, c.answers[min(int(asked.Add(1))-1, len(c.answers)-1)])
		}))
		// Time runs out between two tries: once an answer was read to its end and its connection is at rest.
		ctx, cancel := context.WithCancel(t.Context())
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{PutIdleConn: func(error) {
			if asked.Load() >= 3 {
				cancel()
			}
		}})
		_, err := cl.Apply(ctx, fsm.RemoveAgent{ID: "a1"})
		cancel()
		if err == nil || errors.Is(err, log.ErrUncertain) != c.perhaps {
			t.Errorf("%v: %v", c.answers, err)
		}
		if asked.Load() < 3 {
			t.Errorf("asked %d times", asked.Load())
		}
	}
}

// Nobody at the address: certainly no, and the words say so.
func TestNobodyThere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := newClient(t, "http://"+transporttest.Address(t)).Apply(ctx, fsm.RemoveAgent{ID: "a1"})
	if err == nil || errors.Is(err, log.ErrUncertain) {
		t.Errorf("%v", err)
	}
}

// What is wrong stays wrong: a bad request and a refusal are not asked again.
func TestRefusalsAreFinal(t *testing.T) {
	var asked atomic.Int64
	c := newClient(t, scripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/members":
			say(w, 200, wire.Members{})
		case asked.Add(1) == 1:
			fail(w, fmt.Errorf("operations[0]: %w", registrar.ErrInvalid))
		default:
			say(w, 200, wire.Results{Results: []wire.Outcome{{Outcome: "rejected", Code: fsm.AgentGone, Message: "agent a1 is gone"}}})
		}
	}))
	if _, err := c.Apply(t.Context(), fsm.RemoveAgent{ID: "a1"}); !errors.Is(err, registrar.ErrInvalid) {
		t.Errorf("%v", err)
	}
	var rejection *fsm.Rejection
	if _, err := c.Apply(t.Context(), fsm.RemoveAgent{ID: "a1"}); !errors.As(err, &rejection) || rejection.Code != fsm.AgentGone || rejection.Kind != "agent.remove" {
		t.Errorf("%v", err)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// The members are learnt from whoever answers, and asked when the given ones are away.
func TestMembersAreLearnt(t *testing.T) {
	other := scripted(t, func(w http.ResponseWriter, r *http.Request) { say(w, 200, wire.Status{ID: "n2"}) })
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/members" {
			say(w, 200, wire.Members{Members: []wire.Member{{ID: "n2", HTTPAddr: other[len("http://"):]}}})
			return
		}
		say(w, 200, wire.Status{ID: "n1"})
	}))
	c := newClient(t, first.URL)
	if status, err := c.Status(t.Context()); err != nil || status.ID != "n1" {
		t.Fatalf("%+v, %v", status, err)
	}
	first.Close()
	if status, err := c.Status(t.Context()); err != nil || status.ID != "n2" {
		t.Fatalf("%+v, %v", status, err)
	}
}

// A watch goes on where its stream broke, in the middle of an index too: no change twice, none left out.
func TestWatchResumes(t *testing.T) {
	all := []fsm.Change{
		{Index: 5, Kind: "agent.admit", ID: "a", Last: true},
		{Index: 6, Kind: "agent.admit", ID: "b"},
		{Index: 6, Kind: "agent.admit", ID: "c"},
		{Index: 6, Kind: "agent.admit", ID: "d", Last: true},
		{Index: 9, Kind: "agent.admit", ID: "e", Last: true},
	}
	var streams atomic.Int64
	c := newClient(t, scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/members" {
			say(w, 200, wire.Members{})
			return
		}
		n := int(streams.Add(1))
		var after uint64
		if _, err := fmt.Sscan(r.URL.Query().Get("after"), &after); err != nil {
			t.Error(err)
		}
		sent := 0
		for _, change := range all {
			if change.Index <= after {
				continue
			}
			if sent == n { // each stream breaks a little later
				return
			}
			sent++
			text, err := json.Marshal(change)
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, string(text)+"\n{\"index\":3,\"leader\":\"n1\"}\n")
			_ = http.NewResponseController(w).Flush()
		}
	}))
	got := ""
	for change, err := range c.Watch(t.Context(), 4) {
		if err != nil {
			t.Fatal(err)
		}
		if got += change.ID; change.ID == "e" {
			break
		}
	}
	if got != "abcde" {
		t.Errorf("watched %q", got)
	}
	expired := newClient(t, scripted(t, func(w http.ResponseWriter, r *http.Request) { fail(w, wire.ErrExpired) }))
	for _, err := range expired.Watch(t.Context(), 4) {
		if !errors.Is(err, wire.ErrExpired) {
			t.Errorf("%v", err)
		}
	}
}

// A node that is behind what the client has seen is not believed when it knows of nobody: who has only just joined has
// an empty list, and who was removed an old one.
func TestALaggardSaysNothingOfMembers(t *testing.T) {
	var leads atomic.Bool
	n2 := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/members":
			fail(w, registrar.ErrBusy)
		case leads.Load():
			say(w, 200, wire.Indexed{Index: 11})
		default:
			fail(w, log.ErrNotLeader)
		}
	})
	var asked atomic.Int64
	c := newClient(t, scripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/members":
			fail(w, log.ErrNotLeader)
		case asked.Add(1) == 1:
			say(w, 200, wire.Members{Index: 10, Members: []wire.Member{{ID: "n2", HTTPAddr: strings.TrimPrefix(n2, "http://")}}})
		default: // from now on
			say(w, 200, wire.Members{Index: 9})
			leads.Store(true)
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Resign(ctx, 1); err != nil {
		t.Error(err)
	}
}

// streaming is a node that answers watches with lines, and then holds the stream until it is told to end it.
func streaming(t *testing.T, members func() wire.Members, end <-chan struct{}, lines ...string) string {
	return scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/members" {
			say(w, 200, members())
			return
		}
		for _, line := range lines {
			_, _ = io.WriteString(w, line+"\n")
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
}

const lastChange = `{"index":5,"kind":"agent.admit","id":"a","last":true}`

// hears waits for the last change, for less than a stream that says nothing would be given.
func hears(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), silence/2)
	defer cancel()
	for change, err := range c.Watch(ctx, 4) {
		if err != nil || change.ID != "a" {
			t.Errorf("%+v, %v", change, err)
		}
		break
	}
}

// A node that says that it knows no leader may have been removed, or be cut off for good: the watch goes on elsewhere.
func TestWatchLeavesANodeWithoutALeader(t *testing.T) {
	t.Parallel()
	none := func() wire.Members { return wire.Members{} }
	c := newClient(t, streaming(t, none, nil, `{"index":4,"leader":""}`), streaming(t, none, nil, `{"index":4,"leader":"n2"}`, lastChange))
	hears(t, c)
}

// Members may all be replaced, one by one, while a stream of one of them lasts: where it ends, the watch goes on with
// those that have come.
func TestWatchOutlivesItsMembers(t *testing.T) {
	t.Parallel()
	latest := strings.TrimPrefix(streaming(t, func() wire.Members { return wire.Members{} }, nil, lastChange), "http://")
	replaced, asked := make(chan struct{}), 0
	end := sync.OnceFunc(func() { close(replaced) })
	first := streaming(t, func() wire.Members {
		if asked++; asked < 2 { // by one at a time
			return wire.Members{}
		}
		defer end()
		return wire.Members{Members: []wire.Member{{ID: "n4", HTTPAddr: latest}}}
	}, replaced)
	c := newClient(t, first)
	hears(t, c)
}

// Addresses that are none are refused before anything is asked.
func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "http://", "ftp://h:1", "http://h", "http://h:1/path", "::"} {
		if _, err := New(Config{Addresses: []string{bad}}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
	for _, good := range []string{"h:1", "http://h:1", "https://h:1/", " h:1 "} {
		if _, err := New(Config{Addresses: []string{good}}); err != nil {
			t.Error(err)
		}
	}
}
