package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, key, cert}
}

// issue writes a certificate with the serial number, its key and the authority's certificate to dir.
func (a *authority) issue(dir string, serial int64, until time.Time) (certFile, keyFile, authorityFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "peer"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), write("authority.pem", "CERTIFICATE", a.cert.Raw)
}

func (a *authority) certificates(serial int64, until time.Time) *Certificates {
	a.t.Helper()
	c, err := LoadCertificates(a.issue(a.t.TempDir(), serial, until))
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// Members with certificates of one authority talk; everybody else is turned away before the preamble.
func TestPeersAuthenticateEachOther(t *testing.T) {
	a := newAuthority(t)
	good := time.Now().Add(time.Hour)
	p := peer(t, "n1", "c", func(cfg *Config) { cfg.TLS = a.certificates(1, good) })
	answers(t, p, term(1))
	for _, test := range []struct {
		name  string
		certs *Certificates
		in    bool
	}{
		{"the same authority", a.certificates(2, good), true},
		{"another authority", newAuthority(t).certificates(3, good), false},
		{"an expired certificate", a.certificates(4, time.Now().Add(-time.Hour)), false},
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
		_, _ = conn.Write(preamble{purposeRaft, "c", "n2", "n1"}.append(nil))
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("answered %q", b)
		}
	})
}

// New files are used by new connections, without a restart; files that do not fit together are not used,
// and said to be wrong.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	good := time.Now().Add(time.Hour)
	server, err := LoadCertificates(a.issue(dir, 10, good))
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
	client := a.certificates(11, good)
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
	a.issue(dir, 12, good)
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
	a.issue(dir, 13, good)
	touch()
	if got := serial(); got != 13 || server.Err() != nil {
		t.Errorf("serial %d, %v after good files, want 13", got, server.Err())
	}
	if _, err := LoadCertificates(filepath.Join(dir, "none"), filepath.Join(dir, "key.pem"), ""); err == nil {
		t.Error("a file that is not there was loaded")
	}
}
