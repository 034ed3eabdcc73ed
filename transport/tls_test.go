package transport

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/transport/transporttest"
)

func certificates(t *testing.T, a *transporttest.Authority, serial int64, until time.Time) *Certificates {
	t.Helper()
	c, err := LoadCertificates(a.Issue(t.TempDir(), "peer", serial, until))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Members with certificates of one authority talk; everybody else is turned away before the preamble.
func TestPeersAuthenticateEachOther(t *testing.T) {
	a := transporttest.NewAuthority(t)
	good := time.Now().Add(time.Hour)
	p := peer(t, "n1", "c", func(cfg *Config) { cfg.TLS = certificates(t, a, 1, good) })
	answers(t, p, term(1))
	for _, test := range []struct {
		name  string
		certs *Certificates
		in    bool
	}{
		{"the same authority", certificates(t, a, 2, good), true},
		{"another authority", certificates(t, transporttest.NewAuthority(t), 3, good), false},
		{"an expired certificate", certificates(t, a, 4, time.Now().Add(-time.Hour)), false},
		{"no TLS", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := peer(t, "n2", "c", func(cfg *Config) { cfg.TLS = test.certs })
			err := q.TimeoutNow("n1", p.LocalAddr(), &raft.TimeoutNowRequest{}, new(raft.TimeoutNowResponse))
			if test.in != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		conn, err := tls.Dial("tcp", string(p.LocalAddr()), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write(preamble{purposeRaft, "c", "n2", "n1", "h:1"}.append(nil))
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("answered %q", b)
		}
	})
}

// New files are used by new connections, without a restart; files that do not fit together are not used,
// and said to be wrong.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := transporttest.NewAuthority(t)
	dir := t.TempDir()
	good := time.Now().Add(time.Hour)
	server, err := LoadCertificates(a.Issue(dir, "peer", 10, good))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	defer func() { l.Close(); <-served }()
	client := certificates(t, a, 11, good)
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", l.Addr().String(), client.Client("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	later := time.Now()
	touch := func() { // a second content within the resolution of the file system's clock
		later = later.Add(time.Second)
		for _, name := range []string{"cert.pem", "key.pem"} {
			if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := serial(); got != 10 {
		t.Fatalf("serial %d, want 10", got)
	}
	a.Issue(dir, "peer", 12, good)
	touch()
	if got := serial(); got != 12 {
		t.Errorf("serial %d after new files, want 12", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch()
	if got := serial(); got != 12 {
		t.Errorf("serial %d with a broken key, want 12 still", got)
	}
	if server.Err() == nil {
		t.Error("a broken key is not reported")
	}
	a.Issue(dir, "peer", 13, good)
	touch()
	if got := serial(); got != 13 || server.Err() != nil {
		t.Errorf("serial %d, %v after good files, want 13", got, server.Err())
	}
	if _, err := LoadCertificates(filepath.Join(dir, "none"), filepath.Join(dir, "key.pem"), ""); err == nil {
		t.Error("a file that is not there was loaded")
	}
}
