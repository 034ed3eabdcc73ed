package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
	"github.com/registrard/registrard/registrar/mastership"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an API over a log in memory, served on a port of its own.
type node struct {
	*API
	t      testing.TB
	server *httptest.Server
	log    *memlog.Log[fsm.Result]
	client *http.Client
}

func newNode(t testing.TB) *node { return newNodeOn(t, new(memlog.Storage), "n1") }

func newNodeOn(t testing.TB, storage *memlog.Storage, id string) *node {
	t.Helper()
	registry := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: id, Storage: storage}, registry)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := registrar.Defaults(id)
	config.HTTPAddr = listener.Addr().String()
	metrics := prometheus.NewRegistry()
	config.Metrics = registrar.NewMetrics(metrics)
	r, err := registrar.New(config, l, registry)
	if err != nil {
		t.Fatal(err)
	}
	watchman, err := liveness.New(liveness.Defaults(), r)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, log: l, API: New(Config{Registrar: r, Watchman: watchman, Mastership: mastership.New(r, nil), Liveness: true, Metrics: metrics})}
	n.server = httptest.NewUnstartedServer(n.API)
	n.server.Listener.Close()
	n.server.Listener = listener
	n.server.Start()
	n.client = &http.Client{Transport: &http.Transport{}}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	t.Cleanup(func() {
		n.Close()
		n.client.CloseIdleConnections()
		n.server.Close()
		stop()
		<-ran
		l.Close()
	})
	return n
}

// leads waits until the node takes writes, and its liveness and mastership know of it.
func (n *node) leads() *node {
	n.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		status, _ := n.do("POST", "/v1/heartbeats", `{"agents":[]}`)
		renewed, _ := n.do("POST", "/v1/master/renew", `{"epoch":999}`)
		wrote, _ := n.do("POST", "/v1/operations", `{"operations":[{"kind":"weights.update","args":{"weights":[]}}]}`)
		if status == 200 && renewed == 409 && wrote == 200 {
			return n
		}
		if time.Now().After(deadline) {
			n.t.Fatal("the node does not lead")
		}
	}
}

func (n *node) do(method, path, body string) (int, string) {
	n.t.Helper()
	request, err := http.NewRequest(method, n.server.URL+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	response, err := n.client.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

// ask is do for what must succeed.
func (n *node) ask(method, path, body string) string {
	n.t.Helper()
	status, text := n.do(method, path, body)
	if status != 200 {
		n.t.Fatalf("%s %s answered %d: %s", method, path, status, text)
	}
	return text
}

func (n *node) admit(ids ...string) {
	n.t.Helper()
	for _, id := range ids {
		n.ask("POST", "/v1/operations", fmt.Sprintf(`{"operations":[{"kind":"agent.admit","args":{"agent":{"id":%q,"hostname":%q}}}]}`, id, "h-"+id))
	}
}

// One result for each operation, in order, and one index.
func TestOperations(t *testing.T) {
	n := newNode(t).leads()
	text := n.ask("POST", "/v1/operations", `{"operations":[
		{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h1"}},"request_id":"r1"},
		{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h1"}}},
		{"kind":"agent.reachable","args":{"agent":{"id":"a1","hostname":"h1"}}},
		{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h1"}},"request_id":"r1"}],"seen":1}`)
	var results wire.Results
	if err := json.Unmarshal([]byte(text), &results); err != nil {
		t.Fatal(err)
	}
	want := []wire.Outcome{{Outcome: "changed"}, {Outcome: "rejected", Code: "already_admitted", Message: "agent a1 is already admitted"}, {Outcome: "unchanged"}, {Outcome: "changed"}}
	if fmt.Sprint(results.Results) != fmt.Sprint(want) || results.Index == 0 {
		t.Errorf("%s", text)
	}
}

// Bad input is 400 with one clear message that says where, or 413, and changes nothing.
func TestBadInput(t *testing.T) {
	n := newNode(t).leads()
	before := n.Registrar.State().Digest()
	op := func(operation string) string { return `{"operations":[` + operation + `]}` }
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/v1/operations", ``, `400 the request has no body`},
		{"POST", "/v1/operations", `{`, `400 not valid JSON at byte 1: it ends too early`},
		{"POST", "/v1/operations", `{}`, `400 operations is missing or empty`},
		{"POST", "/v1/operations", `{"operations":[]} x`, `400 not valid JSON at byte 18`},
		{"POST", "/v1/operations", `{"operation":[]}`, `400 operation: unknown field`},
		{"POST", "/v1/operations", `{"operations":[],"operations":[]}`, `400 not valid JSON`},
		{"POST", "/v1/operations", `{"operations":7}`, `400 operations: wrong type: a number`},
		{"POST", "/v1/operations", op(`{"args":{}}`), `400 operations[0]: kind is missing`},
		{"POST", "/v1/operations", op(`{"kind":"agent.vanish"}`), `400 operations[0]: unknown kind "agent.vanish"`},
		{"POST", "/v1/operations", op(`{"kind":"member.forget","args":{"id":"n1"}}`), `400 operations[0]: unknown kind "member.forget"`},
		{"POST", "/v1/operations", op(`{"kind":"master.claim","args":{}}`), `400 operations[0]: unknown kind "master.claim"`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove"}`), `400 operations[0].args: id is empty`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove","args":{"id":7}}`), `400 operations[0].args.id: wrong type: a number`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove","args":{"Id":"a"}}`), `400 operations[0].args.Id: unknown field`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove","args":{"id":"a"}},{"kind":"agent.remove","args":{"id":"` + strings.Repeat("x", 257) + `"}}`),
			`400 operations[1].args: id is 257 bytes long, over the limit of 256`},
		{"POST", "/v1/operations", op("{\"kind\":\"agent.remove\",\"args\":{\"id\":\"\xff\"}}"), `400 not valid JSON at byte`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove","args":{"id":"a\u0000b"}}`), `400 operations[0].args: id contains a control character`},
		{"POST", "/v1/operations", op(`{"kind":"agent.remove","args":{"id":"a"},"request_id":"` + strings.Repeat("x", 129) + `"}`),
			`400 operations[0]: request_id is 129 bytes long, over the limit of 128`},
		{"POST", "/v1/operations", op(`{"kind":"agent.admit","args":{"agent":{"id":"a","hostname":"h","port":"x"}}}`), `400 operations[0].args.agent.port: wrong type: a string`},
		{"POST", "/v1/operations", op(`{"kind":"agent.admit","args":{"agent":{"id":"a","hostname":"h","colour":"x"}}}`), `400 operations[0].args.agent.colour: unknown field`},
		{"POST", "/v1/operations", op(`{"kind":"agent.admit","args":{"agent":{"id":"a"}}}`), `400 operations[0].args.agent: hostname is empty`},
		{"POST", "/v1/operations", op(`{"kind":"agent.drain","args":{"id":"a","max_grace_period":"soon"}}`), `400 operations[0].args.max_grace_period: "soon" is not a duration like "10m"`},
		{"POST", "/v1/operations", op(`{"kind":"quota.update","args":{}}`), `400 operations[0].args: quotas is missing`},
		{"POST", "/v1/operations", op(`{"kind":"agent.admit","args":{"agent":{"id":"a","hostname":"h","attributes":[{"name":"x","text":{"value":"` + strings.Repeat("x", 70_000) + `"}}]}}}`), `413 `},
		{"POST", "/v1/operations", op(strings.Repeat(`{"kind":"agent.remove","args":{"id":"a"}},`, 10_000) + `{"kind":"agent.remove","args":{"id":"a"}}`), `413 10001 operations are over the limit of 10000`},
		{"POST", "/v1/operations", strings.Repeat(" ", 17<<20), `413 the request is 17825792 bytes, over the limit of 16777216`},
		{"GET", "/v1/agents?limit=0", ``, `400 limit 0 is not between 1 and 100000`},
		{"GET", "/v1/agents?limit=100001", ``, `400 limit 100001`},
		{"GET", "/v1/agents?limit=x", ``, `400 limit "x" is not a number`},
		{"GET", "/v1/agents?phase=up", ``, `400 "up" is not a phase`},
		{"GET", "/v1/agents?order=hostname", ``, `400 order "hostname"`},
		{"GET", "/v1/agents?consistency=eventual", ``, `400 consistency "eventual"`},
		{"GET", "/v1/agents?filter=x", ``, `400 unknown parameter "filter"`},
		{"GET", "/v1/agents/nobody", ``, `404 agent "nobody" is unknown`},
		{"GET", "/v1/frameworks/nobody", ``, `404 framework "nobody" is unknown`},
		{"GET", "/v1/nothing", ``, `404 no such path`},
		{"PUT", "/v1/operations", ``, `405 `},
		{"GET", "/v1/watch?after=x", ``, `400 after "x"`},
		{"POST", "/v1/master", `{"info":{},"ttl":"10s"}`, `400 info: id is empty`},
		{"POST", "/v1/master", `{"info":{"id":"m"}}`, `400 ttl is missing`},
		{"POST", "/v1/master", `{"info":{"id":"m"},"ttl":"1ns"}`, `400 `},
		{"DELETE", "/v1/master", ``, `400 epoch is missing`},
		{"DELETE", "/v1/master?epoch=9", ``, `409 `},
		{"POST", "/v1/agents/register", `{}`, `400 agent is missing`},
		{"POST", "/v1/members", `{"id":"n2","raft_addr":"x","http_addr":"127.0.0.1:1"}`, `400 raft_addr "x" is not host:port`},
	} {
		status, text := n.do(c.method, c.path, c.body)
		var answered wire.Error
		if err := json.Unmarshal([]byte(text), &answered); err != nil {
			t.Errorf("%s %s %.80s: %v: %s", c.method, c.path, c.body, err, text)
			continue
		}
		if got := fmt.Sprintf("%d %s", status, answered.Message); !strings.HasPrefix(got, c.want) || answered.Happened != "no" || answered.Code == "" {
			t.Errorf("%s %s %.80s\nanswered %+v\nwant %s", c.method, c.path, c.body, got, c.want)
		}
	}
	if now := n.Registrar.State(); now.Digest() != before || now.Count(fsm.Admitted) != 0 {
		t.Error("bad input has changed something")
	}
}

// Lists are whole and in order, however small their pages.
func TestListsArePaged(t *testing.T) {
	n := newNode(t).leads()
	n.admit("b", "a", "d", "c", "e")
	n.ask("POST", "/v1/operations", `{"operations":[{"kind":"agent.unreachable","args":{"id":"b"}},{"kind":"agent.gone","args":{"id":"d"}}]}`)
	list := func(query string) string {
		ids, after := "", ""
		for {
			var page struct {
				Index  uint64
				Agents []struct{ ID, Phase string }
				Next   *string
			}
			if err := json.Unmarshal([]byte(n.ask("GET", "/v1/agents?"+query+after, "")), &page); err != nil {
				t.Fatal(err)
			}
			for _, a := range page.Agents {
				ids += a.ID
			}
			if page.Next == nil {
				return ids
			}
			after = "&after=" + *page.Next
		}
	}
	for query, want := range map[string]string{
		"":                               "abcde",
		"limit=2":                        "abcde",
		"limit=5":                        "abcde",
		"limit=1&phase=admitted":         "ace",
		"phase=unreachable":              "b",
		"phase=gone&limit=1":             "d",
		"order=since":                    "acebd",
		"order=since&limit=1":            "acebd",
		"order=since&limit=2&phase=gone": "d",
		"consistency=stale&limit=3":      "abcde",
	} {
		if got := list(query); got != want {
			t.Errorf("?%s lists %q, want %q", query, got, want)
		}
	}
}

// An agent is answered as the interface says: absent members are left out, never null.
func TestAgentShape(t *testing.T) {
	n := newNode(t).leads()
	n.ask("POST", "/v1/operations", `{"operations":[{"kind":"agent.admit","args":{"agent":{"id":"a/1 ü","hostname":"h"}}},{"kind":"agent.drain","args":{"id":"a/1 ü","max_grace_period":"90s"}}]}`)
	text := n.ask("GET", "/v1/agents/a%2F1%20%C3%BC", "")
	for _, part := range []string{`"agent":{"id":"a/1 ü","phase":"admitted","info":{"id":"a/1 ü","hostname":"h","port":5051,"checkpoint":false}`,
		`"drain":{"state":"draining","max_grace_period":"1m30s","mark_gone":false}`, `"deactivated":true`, `"since":"`, `"by":"127.0.0.1"`, `"index":`} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	if strings.Contains(text, "null") || strings.Contains(text, "reason") {
		t.Errorf("%s", text)
	}
}

// A watch tells every change once and in order from where it is asked to, over what is old and what is new.
func TestWatch(t *testing.T) {
	n := newNode(t).leads()
	start := n.Registrar.State().Index()
	n.admit("a1", "a2")
	request, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("%s/v1/watch?after=%d", n.server.URL, start), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := n.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func() (c fsm.Change) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream has ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, id := range []string{"a1", "a2"} {
		if c := next(); c.ID != id || c.Kind != "agent.admit" || !c.Last || c.Phase != "admitted" {
			t.Errorf("%+v", c)
		}
	}
	n.ask("POST", "/v1/operations", `{"operations":[{"kind":"agent.remove","args":{"id":"nobody"}},{"kind":"agent.drain","args":{"id":"a1"}},{"kind":"agent.gone","args":{"id":"a2","reason":"burnt"}}]}`)
	if c := next(); c.ID != "a1" || c.Last {
		t.Errorf("%+v", c)
	}
	if c := next(); c.ID != "a2" || !c.Last || c.Was != "admitted" || c.Phase != "gone" || c.Reason != "burnt" {
		t.Errorf("%+v", c)
	}
}

// Mastership over HTTP: held, superseded, resigned.
func TestMaster(t *testing.T) {
	n := newNode(t).leads()
	var grant struct{ Epoch, Index uint64 }
	claim := func(id string) int {
		status, text := n.do("POST", "/v1/master", fmt.Sprintf(`{"info":{"id":%q},"ttl":"1h"}`, id))
		if status == 200 {
			if err := json.Unmarshal([]byte(text), &grant); err != nil {
				t.Fatal(err)
			}
		}
		return status
	}
	if claim("m1") != 200 || grant.Epoch != 1 || grant.Index == 0 {
		t.Errorf("%+v", grant)
	}
	if claim("m2") != 409 {
		t.Error("two masters")
	}
	if claim("m1") != 200 || grant.Epoch != 2 {
		t.Errorf("its own again: %+v", grant)
	}
	if status, text := n.do("POST", "/v1/master/renew", `{"epoch":1}`); status != 409 || !strings.Contains(text, `"superseded"`) {
		t.Errorf("%d %s", status, text)
	}
	n.ask("POST", "/v1/master/renew", `{"epoch":2}`)
	if text := n.ask("POST", "/v1/operations", `{"operations":[{"kind":"agent.admit","args":{"agent":{"id":"a","hostname":"h"}}}],"epoch":1}`); !strings.Contains(text, `"superseded"`) {
		t.Error(text)
	}
	n.ask("DELETE", "/v1/master?epoch=2", "")
	if text := n.ask("POST", "/v1/operations", `{"operations":[{"kind":"agent.admit","args":{"agent":{"id":"a","hostname":"h"}}}],"epoch":2}`); !strings.Contains(text, `"superseded"`) {
		t.Error(text)
	}
	if text := n.ask("GET", "/v1/master", ""); strings.Contains(text, `"master"`) || !strings.Contains(text, `"epoch":2`) {
		t.Error(text)
	}
	if claim("m2") != 200 || grant.Epoch != 3 {
		t.Errorf("%+v", grant)
	}
}

// A follower passes writes and linearizable reads on, answers stale ones itself, and says who asked.
func TestFollowerPassesOn(t *testing.T) {
	storage := new(memlog.Storage)
	leader := newNodeOn(t, storage, "n1").leads()
	follower := newNodeOn(t, storage, "n2")
	for follower.Registrar.State().Index() < leader.Registrar.State().Index() {
		if _, err := follower.Registrar.Watch(t.Context(), follower.Registrar.State().Index()); err != nil {
			t.Fatal(err)
		}
	}
	follower.admit("a1")
	if text := follower.ask("GET", "/v1/agents/a1", ""); !strings.Contains(text, `"by":"127.0.0.1"`) {
		t.Error(text)
	}
	if text := follower.ask("GET", "/v1/status", ""); !strings.Contains(text, `"id":"n2"`) || !strings.Contains(text, `"role":"follower"`) {
		t.Error(text)
	}
	if text := follower.ask("GET", "/v1/members?consistency=stale", ""); !strings.Contains(text, `"n2"`) {
		t.Error(text)
	}
	// A request goes one step and no further, whatever nodes believe of each other.
	request, err := http.NewRequest("POST", follower.server.URL+"/v1/operations", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(headerForwarded, "n1")
	response, err := follower.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s", response.Status)
	}
	// The leader's address is dead: nothing was sent, so the answer is no.
	leader.server.CloseClientConnections()
	leader.server.Listener.Close()
	follower.proxy.close()
	if status, text := follower.do("POST", "/v1/operations", `{"operations":[{"kind":"agent.remove","args":{"id":"a1"}}]}`); status != 503 || !strings.Contains(text, `"happened":"no"`) {
		t.Errorf("%d %s", status, text)
	}
}

// Only a member may say for whom it asks: anybody else is who it is.
func TestAuthorCannotBeMadeUp(t *testing.T) {
	n := newNode(t).leads()
	for _, c := range []struct {
		forwarded, from string
		chain           *x509.Certificate
		want            string
	}{
		{"n1", "127.0.0.1:999", nil, "anna"},
		{"n1", "127.0.0.2:999", nil, "127.0.0.2"},
		{"n9", "127.0.0.1:999", nil, "127.0.0.1"},
		{"", "127.0.0.1:999", nil, "127.0.0.1"},
		{"n1", "127.0.0.1:999", &x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}}, "mallory"},
		{"n1", "127.0.0.2:999", &x509.Certificate{Subject: pkix.Name{CommonName: "n1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, "anna"},
	} {
		r := httptest.NewRequest("POST", "/v1/operations", nil)
		r.RemoteAddr = c.from
		r.Header.Set(headerForwarded, c.forwarded)
		r.Header.Set(headerBy, "anna")
		if c.chain != nil {
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c.chain}}}
		}
		if got := n.author(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A leader that dies after it was sent a write leaves the follower without an answer: perhaps. A read is only not
// answered.
func TestFollowerSaysPerhaps(t *testing.T) {
	f := newForwarder(nil, New(Config{}).logger)
	defer f.close()
	dead := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	defer dead.Close()
	for method, want := range map[string]string{"POST": "perhaps", "DELETE": "perhaps", "GET": "no"} {
		recorder := httptest.NewRecorder()
		f.pass(recorder, httptest.NewRequest(method, "/v1/operations", bytes.NewReader([]byte("{}"))), "n2", "anna", dead.Listener.Addr().String())
		var answered wire.Error
		if err := json.Unmarshal(recorder.Body.Bytes(), &answered); err != nil || answered.Happened != want {
			t.Errorf("%s: %d %s (%v)", method, recorder.Code, recorder.Body, err)
		}
	}
}

// The error table is the same both ways.
func TestErrorTable(t *testing.T) {
	codes := map[string]error{}
	for _, row := range wire.Table {
		status, answered := wire.Describe(fmt.Errorf("around: %w", row.Err))
		if status != row.Status || answered.Code != row.Code {
			t.Errorf("%v is answered %d %s", row.Err, status, answered.Code)
		}
		if (answered.Happened == wire.Perhaps) != (row.Code == "uncertain") {
			t.Errorf("%v happened: %s", row.Err, answered.Happened)
		}
		if first, twice := codes[row.Code]; twice {
			row.Err = first // two errors of one code come back as the first
		}
		codes[row.Code] = row.Err
		if err := answered.Restore(); !errors.Is(err, row.Err) {
			t.Errorf("%s comes back as %v", row.Code, err)
		}
	}
}

// Metrics and health are answered.
func TestHealth(t *testing.T) {
	n := newNode(t).leads()
	n.ask("GET", "/livez", "")
	n.ask("GET", "/readyz", "")
	if text := n.ask("GET", "/metrics", ""); !strings.Contains(text, "registrard_operations_total") || !strings.Contains(text, "registrard_http_requests_total") {
		t.Error(text)
	}
}

// Whatever is posted, the answer is one of the interface's, and never a panic.
func FuzzOperations(f *testing.F) {
	f.Add([]byte(`{"operations":[{"kind":"agent.admit","args":{"agent":{"id":"a1","hostname":"h1"}},"request_id":"r1"}],"epoch":1,"seen":2}`))
	f.Add([]byte(`{"operations":[{"kind":"maintenance.schedule","args":{"windows":[{"machines":[{"hostname":"m"}],"unavailability":{"start":"2026-01-01T00:00:00Z"}}]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var request wire.Operations
		if err := decode("", text, &request); err != nil {
			if status, _ := wire.Describe(err); status != 400 && status != 413 {
				t.Fatalf("%v is answered %d", err, status)
			}
			return
		}
		for _, o := range request.Operations {
			op, err := operation("operations[0]", o.Kind, o.Args)
			if err == nil {
				_, err = fsm.Encode(fsm.Proposal{Op: op})
			}
			if err != nil {
				if status, _ := wire.Describe(err); status != 400 && status != 413 {
					t.Fatalf("%v is answered %d", err, status)
				}
			}
		}
	})
}
