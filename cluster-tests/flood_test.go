package clustertests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

// long tells whether floods are as large as docs/testing.md says, or as large as they can be in some seconds.
func long() bool { return os.Getenv("SOAK") != "" }

// flooded is a cluster of one that is about to be flooded, and what its node holds before. It runs the program that
// people run: the race detector has a memory of its own.
func flooded(t *testing.T, flags ...string) (c *Cluster, node *Node, before held) {
	t.Helper()
	c = &Cluster{t: t, flags: flags, binary: plainBinary(t)}
	c.found(1)
	c.answers(t, "before")
	before, err := c.Nodes[0].held()
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Nodes[0], before
}

// What a flooded node may have in its directory at most: the log is cut behind its snapshots.
const maxDisk = 384 << 20

// recovers waits until a node holds no more than before, give or take what comes and goes by itself, and holds the most
// memory that it ever had, and its directory, against what they may be.
func (n *Node) recovers(t *testing.T, before held, maxMemory int64) {
	t.Helper()
	const slack = 16
	await(t, n.ID+" lets go", func() error {
		now, err := n.held()
		if err == nil && (now.goroutines > before.goroutines+slack || now.descriptors > before.descriptors+slack) {
			err = fmt.Errorf("%+v after %+v", now, before)
		}
		return err
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var memory, disk int64
	if _, err := fmt.Sscanf(rest, "%d kB", &memory); err != nil {
		t.Fatal(err)
	}
	memory <<= 10
	err = filepath.WalkDir(n.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			disk += info.Sys().(*syscall.Stat_t).Blocks * 512
		} else if os.IsNotExist(err) {
			return nil // the log goes on
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d MiB of memory, and %d MiB of disk", memory>>20, disk>>20)
	if memory > maxMemory || disk > maxDisk {
		t.Errorf("that is more than %d MiB of memory or %d MiB of disk", maxMemory>>20, maxDisk>>20)
	}
}

// answers has a node prove that it takes writes and has linearizable reads see them.
func (c *Cluster) answers(t *testing.T, agent string) (index uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl := c.client()
	defer cl.Close()
	result, err := cl.Propose(ctx, []fsm.Proposal{{Op: fsm.AdmitAgent{Agent: agentObject(t, agent)}}})
	if err != nil || !result.Outcomes[0].Changed {
		t.Fatalf("a write under a flood: %+v, %v", result, err)
	}
	if _, err := c.Nodes[0].get("/v1/agents/" + agent); err != nil {
		t.Fatalf("a read under a flood: %v", err)
	}
	return result.Index
}

// dial opens n connections to a node and sends each the beginning of a request.
func (n *Node) dial(t *testing.T, count int, begin string) (all []net.Conn) {
	t.Helper()
	for range count {
		conn, err := net.DialTimeout("tcp", n.HTTP, patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	return all
}

// A thousand connections that say nothing, send their request's head byte by byte, or its body: others are answered
// meanwhile, and those that are too slow are thrown out.
func TestSlowConnections(t *testing.T) {
	t.Parallel()
	c, node, before := flooded(t)
	heads := append(node.dial(t, 333, ""), node.dial(t, 333, "GET /v1/status HTTP/1.1\r\n")...)
	bodies := node.dial(t, 334, "POST /v1/operations HTTP/1.1\r\nHost: node\r\nContent-Length: 16777216\r\n\r\n")
	ctx, cancel := context.WithCancel(t.Context())
	var dripping sync.WaitGroup
	dripping.Go(func() {
		for wait(ctx, time.Second) {
			for _, conn := range append(heads[333:], bodies...) {
				_, _ = io.WriteString(conn, " ") // fails once it is thrown out
			}
		}
	})
	c.answers(t, "during")
	thrownOut(t, heads)
	c.answers(t, "after")
	if long() {
		thrownOut(t, bodies)
	}
	cancel()
	dripping.Wait()
	for _, conn := range bodies {
		conn.Close()
	}
	node.recovers(t, before, 128<<20)
}

// thrownOut waits until the other side has ended each connection.
func thrownOut(t *testing.T, all []net.Conn) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for i, conn := range all {
		_ = conn.SetReadDeadline(deadline)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d of %d was not thrown out", i, len(all))
		}
	}
}

// As many idle watchers as a node takes: one more is told that it is busy, each of them hears of a write, and the node
// has forgotten them when they have gone.
func TestIdleWatchers(t *testing.T) {
	t.Parallel()
	quarter := 250
	if long() {
		quarter = 3334
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(min(files.Cur, 1<<20)/4 - 256); quarter > most {
		t.Logf("%d open files allow %d watchers and not %d", files.Cur, 3*most, 3*quarter)
		quarter = most
	}
	c, node, before := flooded(t, "--max-connections", strconv.Itoa(4*quarter))
	const watch = "GET /v1/watch HTTP/1.1\r\nHost: node\r\n\r\n"
	watchers := node.dial(t, 3*quarter, watch)
	var streams []*bufio.Reader
	for _, conn := range watchers {
		lines, response := answered(t, conn)
		if response.StatusCode != http.StatusOK {
			t.Fatalf("a watcher is told %s", response.Status)
		}
		streams = append(streams, lines)
	}
	_, oneMore := answered(t, node.dial(t, 1, watch)[0])
	refused(t, oneMore, http.StatusTooManyRequests, "busy")
	index := c.answers(t, "during")
	for i, lines := range streams {
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				t.Fatalf("watcher %d of %d: %v", i, len(streams), err)
			}
			if change := decode[fsm.Change](t, line); change.Kind != "" {
				if change.Index != index || change.ID != "during" {
					t.Fatalf("watcher %d of %d was told %s", i, len(streams), line)
				}
				break
			}
		}
	}
	for _, conn := range watchers {
		conn.Close()
	}
	node.recovers(t, before, 512<<20)
}

// answered reads the head of the answer on a connection, and gives its body.
func answered(t *testing.T, conn net.Conn) (*bufio.Reader, *http.Response) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(response.Body), response
}

// refused holds an answer against what docs/api.md says of it.
func refused(t *testing.T, response *http.Response, status int, code string) {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		t.Error(err)
		return
	}
	said := decode[wire.Error](t, text)
	if response.StatusCode != status || said.Code != code || said.Happened != wire.No {
		t.Errorf("%s: %s; it should be %d %s, happened no", response.Status, text, status, code)
	}
	if later := response.Header.Get("Retry-After"); status == http.StatusTooManyRequests && later == "" {
		t.Errorf("%s: %s does not say when to come back", response.Status, text)
	}
}

// Requests of 16 MiB, many at a time: each is applied in the end, and told until then that the node is busy; one that
// is larger is told so, whether it says its size or not. Memory stays bounded, and disk over a gigabyte of log.
func TestLargeRequests(t *testing.T) {
	t.Parallel()
	c, node, before := flooded(t, "--snapshot-bytes", strconv.Itoa(16<<20))
	callers := 24
	if long() {
		callers = 64
	}
	f := node.flood(callers)
	large := largeRequest(t)
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for !f.applied(t, large) && wait(t.Context(), time.Second) { // as Retry-After says
			}
		})
	}
	c.answers(t, "during")
	calling.Wait()
	over := bytes.Repeat([]byte(" "), 16<<20+1)
	for _, body := range []io.Reader{bytes.NewReader(over), io.MultiReader(bytes.NewReader(over))} { // with its size, and without
		if response := f.post(t, body); response != nil {
			refused(t, response, http.StatusRequestEntityTooLarge, "too_large")
		}
	}
	f.client.CloseIdleConnections()
	t.Logf("%d were applied, and told %d times to come again", callers, f.busy.Load())
	node.recovers(t, before, 1<<30)
}

// More operations than the queue takes: who is told that the node is busy finds nothing applied.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	c, node, before := flooded(t)
	const callers = 8
	f := node.flood(callers)
	var mu sync.Mutex
	applied := map[string]bool{} // roles
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			for n := 0; n < 4 || f.busy.Load() == 0 && n < 20; n++ {
				role := fmt.Sprintf("queued-%d-%d", i, n)
				operation := `{"kind":"weights.update","args":{"weights":[{"role":"` + role + `","weight":2}]}}`
				yes := f.applied(t, []byte(`{"operations":[`+strings.Repeat(operation+",", 9_999)+operation+`]}`))
				mu.Lock()
				applied[role] = yes
				mu.Unlock()
			}
		})
	}
	c.answers(t, "during")
	calling.Wait()
	f.client.CloseIdleConnections()
	if f.busy.Load() == 0 {
		t.Error("the queue took everything: the test has shown nothing")
	}
	text, err := node.get("/v1/weights")
	if err != nil {
		t.Fatal(err)
	}
	for role, yes := range applied {
		if there := bytes.Contains(text, []byte(`"`+role+`"`)); there != yes {
			t.Errorf("%s: applied %v, and there %v", role, yes, there)
		}
	}
	node.recovers(t, before, 512<<20)
}

// flood is callers that ask one node once.
type flood struct {
	url    string
	client *http.Client
	busy   atomic.Int64 // how often the node said so
}

func (n *Node) flood(callers int) *flood {
	return &flood{url: "http://" + n.HTTP + "/v1/operations", client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}, Timeout: patience}}
}

func (f *flood) post(t *testing.T, body io.Reader) *http.Response {
	response, err := f.client.Post(f.url, "application/json", body)
	if err != nil {
		t.Error(err)
		return nil
	}
	return response
}

// applied tells whether operations were; if not, the node is busy.
func (f *flood) applied(t *testing.T, operations []byte) bool {
	response := f.post(t, bytes.NewReader(operations))
	if response == nil {
		return true // the test has failed
	}
	if response.StatusCode != http.StatusOK {
		f.busy.Add(1)
		refused(t, response, http.StatusTooManyRequests, "busy")
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection can be used again
	response.Body.Close()
	return true
}

// largeRequest is as many admissions of agents with as much to say as fit into one.
func largeRequest(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`{"operations":[`)
	for i := range 265 {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"kind":"agent.admit","args":{"agent":{"id":"large-%d","hostname":"h","attributes":[{"name":"notes","text":{"value":%q}}]}}}`, i, strings.Repeat("x", 63000))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}
