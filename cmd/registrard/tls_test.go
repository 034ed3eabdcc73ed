package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/registrard/registrard/transport/transporttest"
)

// Row Authentication of the Mesos registrar's tests: /v1/registry without or with bad credentials is refused, with good
// ones it is answered. Ours are certificates: who has none of the authority's does not get as far as a request, so that
// there is no 401. Whom one names is recorded, and new files are used without a restart.
func TestRowAuthentication(t *testing.T) {
	authority, good := transporttest.NewAuthority(t), time.Now().Add(time.Hour)
	server, dir := t.TempDir(), t.TempDir()
	cert, key, ca := authority.Issue(server, "server", 10, good)
	config := clientConfig(t, authority, "anna", good)
	n := startNodeTLS(t, filepath.Join(dir, "data"), config, "dev", "--http-cert", cert, "--http-key", key, "--client-ca", ca)

	for _, c := range []struct {
		name   string
		config *tls.Config
		want   bool
	}{
		{"good credentials", config, true},
		{"none", &tls.Config{RootCAs: config.RootCAs}, false},
		{"those of another authority", trusting(config, clientConfig(t, transporttest.NewAuthority(t), "anna", good)), false},
		{"expired ones", clientConfig(t, authority, "anna", time.Now().Add(-time.Hour)), false},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.config}}
		response, err := client.Get("https://" + n.address + "/v1/registry")
		// A node is ready once it knows who leads; that one's reign may open a moment later.
		for deadline := time.Now().Add(time.Minute); err == nil && response.StatusCode == http.StatusServiceUnavailable && time.Now().Before(deadline); {
			response.Body.Close()
			response, err = client.Get("https://" + n.address + "/v1/registry")
		}
		if err == nil {
			response.Body.Close()
		}
		if got := err == nil && response.StatusCode == http.StatusOK; got != c.want {
			t.Errorf("with %s: answered %t, %v", c.name, got, err)
		}
		client.CloseIdleConnections()
	}
	if response, err := http.Get("http://" + n.address + "/v1/registry"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("answered without TLS")
		}
	}

	mine := t.TempDir()
	myCert, myKey, _ := authority.Issue(mine, "anna", 20, good)
	command := func(args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		args = append(args, "--address", "https://"+n.address, "--ca", ca, "--cert", myCert, "--key", myKey)
		status := run(t.Context(), args, nil, &out, &errOut)
		return status, out.String(), errOut.String()
	}
	if status, _, errOut := command("op", "agent.admit", "agent.id=a1", "agent.hostname=h"); status != exitDone {
		t.Fatal(errOut)
	}
	if _, out, errOut := command("agent", "a1", "-o", "json"); !strings.Contains(out, `"by":"anna"`) {
		t.Errorf("who asked is not recorded: %s%s", out, errOut)
	}

	authority.Issue(server, "server", 11, good)
	later := time.Now().Add(time.Second) // within the resolution of the file system's clock
	for _, file := range []string{cert, key} {
		if err := os.Chtimes(file, later, later); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := tls.Dial("tcp", n.address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if serial := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); serial != 11 {
		t.Errorf("certificate %d is used, want the new one, 11", serial)
	}
}

// clientConfig is a client with a certificate of the authority's, which it trusts.
func clientConfig(t *testing.T, authority *transporttest.Authority, name string, until time.Time) *tls.Config {
	t.Helper()
	cert, key, ca := authority.Issue(t.TempDir(), name, 30, until)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
}

// trusting is the second client, trusting whom the first one trusts.
func trusting(first, second *tls.Config) *tls.Config {
	return &tls.Config{RootCAs: first.RootCAs, Certificates: second.Certificates}
}
