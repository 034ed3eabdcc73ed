package zktest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/registrard/registrard/transport/transporttest"
)

// patience bounds every wait, for a loaded machine is no fault.
const patience = 90 * time.Second

const jar = "/usr/share/java/zookeeper.jar"

// Tick is the servers' unit of time: sessions may time out after 2 to 20 of it.
const Tick = 250 * time.Millisecond

// Ensemble is some servers of one ensemble.
type Ensemble struct{ Servers []*Server }

// Server is one ZooKeeper server, running or not.
type Server struct {
	Addr string // where clients reach it
	dir  string
	log  output

	mu       sync.Mutex
	process  *os.Process
	finished chan struct{}
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > 1<<20 {
		o.b.Reset()
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Start starts n servers, and returns once they serve. They end with the test.
func Start(t testing.TB, n int) *Ensemble {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("no java here: ZooKeeper cannot be run (apt-get install zookeeper)")
	}
	if _, err := os.Stat(jar); err != nil {
		t.Skip("ZooKeeper is not installed here (apt-get install zookeeper): ", err)
	}
	e := &Ensemble{}
	free := ports(t, 3*n)
	var quorum strings.Builder
	for i := range n {
		e.Servers = append(e.Servers, &Server{Addr: "127.0.0.1:" + free[3*i], dir: t.TempDir()})
		if n > 1 {
			fmt.Fprintf(&quorum, "server.%d=127.0.0.1:%s:%s\n", i+1, free[3*i+1], free[3*i+2])
		}
	}
	for i, s := range e.Servers {
		_, port, _ := net.SplitHostPort(s.Addr)
		config := fmt.Sprintf(`tickTime=%d
initLimit=60
syncLimit=10
dataDir=%s
clientPort=%s
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr
%s`, Tick.Milliseconds(), s.dir, port, quorum.String())
		for name, text := range map[string]string{"zoo.cfg": config, "myid": fmt.Sprintln(i + 1), "log4j.properties": "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\nlog4j.appender.out.layout=org.apache.log4j.SimpleLayout\n"} {
			if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			s.Kill(t)
			if t.Failed() {
				t.Logf("ZooKeeper at %s said:\n%s", s.Addr, s.log.String())
			}
		})
		s.start(t, java)
	}
	e.AwaitServing(t)
	return e
}

func (s *Server) start(t testing.TB, java string) {
	t.Helper()
	cmd := exec.Command(java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dzookeeper.jmx.log4j.disable=true", "-Dlog4j.configuration=file:"+filepath.Join(s.dir, "log4j.properties"),
		"-cp", s.dir+":"+jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(s.dir, "zoo.cfg"))
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a failing test must not leave servers behind
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	finished := make(chan struct{})
	s.mu.Lock()
	s.process, s.finished = cmd.Process, finished
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		close(finished)
	}()
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Signal(sig) // one that is gone needs none
	}
}

// Kill is SIGKILL; it returns once the process is no more.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.signal(syscall.SIGKILL)
	s.mu.Lock()
	finished := s.finished
	s.mu.Unlock()
	if finished == nil {
		return
	}
	select {
	case <-finished:
	case <-time.After(patience):
		t.Fatalf("ZooKeeper at %s does not end", s.Addr)
	}
}

// Pause is SIGSTOP, and Resume SIGCONT.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Restart runs a server again that was killed. It does not wait until it serves.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, java)
}

// mode is leader, follower or standalone; empty while the server does not serve.
func (s *Server) mode() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return ""
	}
	text, _ := io.ReadAll(conn)
	_, mode, _ := strings.Cut(string(text), "\nMode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	return mode
}

// AwaitServing waits until every server serves.
func (e *Ensemble) AwaitServing(t testing.TB) {
	t.Helper()
	for _, s := range e.Servers {
		await(t, "ZooKeeper at "+s.Addr+" serves", func() bool { return s.mode() != "" })
	}
}

// Leader is the server that leads the ensemble.
func (e *Ensemble) Leader(t testing.TB) (leader *Server) {
	t.Helper()
	await(t, "a leader of the ensemble", func() bool {
		for _, s := range e.Servers {
			if mode := s.mode(); mode == "leader" || mode == "standalone" {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// Addresses are those of all servers.
func (e *Ensemble) Addresses() (all []string) {
	for _, s := range e.Servers {
		all = append(all, s.Addr)
	}
	return all
}

func await(t testing.TB, what string, ask func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

// ports finds some that nobody has.
func ports(t testing.TB, n int) (free []string) {
	t.Helper()
	for range n {
		_, port, _ := net.SplitHostPort(transporttest.Address(t))
		free = append(free, port)
	}
	return free
}
