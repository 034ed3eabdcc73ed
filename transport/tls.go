package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Certificates are a certificate, its key and the authority that the other side is checked against, read
// from files in PEM and read again when one of them changes: new connections use the new ones, existing
// connections live on. While new files cannot be read the last good ones are used.
type Certificates struct {
	// Set by LoadCertificates, read-only after.
	certFile, keyFile, authorityFile string

	mu        sync.Mutex
	read      [3]version // of the files, when they were last read
	pair      tls.Certificate
	authority *x509.CertPool // nil where no file is given
	err       error          // of the last reading, nil when it was good
}

// version tells one content of a file from the next without reading it.
type version struct {
	modified time.Time
	size     int64
}

// LoadCertificates reads the files. authorityFile may be empty: a server then asks clients for no
// certificate, and a client trusts the system's authorities.
func LoadCertificates(certFile, keyFile, authorityFile string) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, authorityFile: authorityFile}
	c.refresh()
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// Err says why the files as they are now cannot be used, nil when they can.
func (c *Certificates) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.err
}

// Server is the configuration of a listener. Where there is an authority, clients must show a certificate
// that it signed.
func (c *Certificates) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, authority := c.current()
			cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
			if authority != nil {
				cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, authority
			}
			return cfg, nil
		},
		// The listener's own list must not be empty, though GetConfigForClient decides.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, _ := c.current()
			return &pair, nil
		},
	}
}

// Client is the configuration of one connection to the host name, which the server's certificate must carry.
func (c *Certificates) Client(name string) *tls.Config {
	pair, authority := c.current()
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   name,
		Certificates: []tls.Certificate{pair},
		RootCAs:      authority,
	}
}

func (c *Certificates) current() (tls.Certificate, *x509.CertPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	return c.pair, c.authority
}

// refresh reads the files if one has changed since they were last read. The caller holds mu, or is alone.
func (c *Certificates) refresh() {
	var now [3]version
	for i, name := range []string{c.certFile, c.keyFile, c.authorityFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			c.err = err
			return
		}
		now[i] = version{info.ModTime(), info.Size()}
	}
	if now == c.read {
		return
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.err = fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
		return
	}
	var authority *x509.CertPool
	if c.authorityFile != "" {
		pem, err := os.ReadFile(c.authorityFile)
		if err != nil {
			c.err = err
			return
		}
		authority = x509.NewCertPool()
		if !authority.AppendCertsFromPEM(pem) {
			c.err = fmt.Errorf("authority %s: %w", c.authorityFile, errors.New("no certificate in it"))
			return
		}
	}
	c.read, c.pair, c.authority, c.err = now, pair, authority, nil
}
