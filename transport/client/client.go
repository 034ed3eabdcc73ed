package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Config says where a cluster is.
type Config struct {
	// Addresses are URLs of some of its nodes, http://host:port or https://host:port; without a scheme, http.
	Addresses []string
	// TLS is for https; nil: the system's authorities and no certificate of its own.
	TLS *tls.Config
	// Attempt bounds one try at one node. Default 10s.
	Attempt time.Duration
	// AskOnly keeps to the addresses given, and does not learn the members.
	AskOnly bool
}

// Client talks to a cluster.
type Client struct {
	attempt time.Duration
	scheme  string
	http    *http.Client
	askOnly bool
	seen    atomic.Uint64 // highest index that was answered
	given   []string      // URLs that the configuration names
	looks   singleflight.Group

	mu      sync.Mutex
	nodes   []string // URLs; the first is asked first
	learned bool
}

// New makes a client; it connects to nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Attempt <= 0 {
		cfg.Attempt = 10 * time.Second
	}
	c := &Client{attempt: cfg.Attempt, askOnly: cfg.AskOnly, scheme: "http"}
	for _, address := range cfg.Addresses {
		node, err := parseAddress(address)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(node, "https:") {
			c.scheme = "https"
		}
		if !slices.Contains(c.nodes, node) {
			c.nodes = append(c.nodes, node)
		}
	}
	if len(c.nodes) == 0 {
		return nil, errors.New("no address of a node is given")
	}
	c.given = slices.Clone(c.nodes)
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			TLSClientConfig:     cfg.TLS,
			MaxIdleConnsPerHost: 1024, // callers at a time that need not connect anew for each call
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Seen is the highest index that any node has answered.
func (c *Client) Seen() uint64 { return c.seen.Load() }

func (c *Client) noteIndex(index uint64) {
	for {
		seen := c.seen.Load()
		if index <= seen || c.seen.CompareAndSwap(seen, index) {
			return
		}
	}
}

func parseAddress(address string) (string, error) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("%q is not an address like http://127.0.0.1:7050", address)
	}
	if u.Port() == "" {
		return "", fmt.Errorf("address %q has no port", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// order lists the nodes to try, the one that answered last first.
func (c *Client) order() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// prefer puts a node first, and demote last.
func (c *Client) prefer(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.nodes, node); i > 0 {
		c.nodes = slices.Insert(slices.Delete(c.nodes, i, i+1), 0, node)
	}
}

func (c *Client) demote(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.nodes, node); i >= 0 {
		c.nodes = append(slices.Delete(c.nodes, i, i+1), node)
	}
}
