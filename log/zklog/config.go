package zklog

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config says how to open a Log. ID and Servers are required.
type Config struct {
	// ID names the member for all time; no two processes may run under one.
	ID string
	// Servers of the ensemble, HOST:PORT.
	Servers []string
	// Root is the node below which everything is kept. Default /registrard. It is made where it is missing.
	Root string
	// Dir keeps which cluster this member is of, so that a root of another one is not taken for it. Default none.
	Dir string
	// Auth is USER:PASSWORD for ZooKeeper's digest scheme; every node is then its alone. Default none: anybody may
	// do anything.
	Auth string
	// WorldReadable lets anybody read what Auth protects.
	WorldReadable bool
	// SessionTimeout is after how much silence the ensemble takes a member for dead, within the bounds that its servers
	// set. Default 6 s. A leader considers itself deposed after nine tenths of it.
	SessionTimeout time.Duration
	// SnapshotBytes of commands since the last snapshot, and more than that snapshot's own size, make a new one.
	// Default 16 MiB: ZooKeeper holds all of it in memory.
	SnapshotBytes uint64
	// MaxCommand is the largest command in bytes. Default 32 MiB, at most 256 MiB.
	MaxCommand int
	// Logger. Default none.
	Logger hclog.Logger
}

const (
	defaultRoot = "/registrard"
	defaultPort = "2181"

	maxCommand = 256 << 20
	partBytes  = 512 << 10 // what is put into one node; a server takes no request above 1 MiB
	batchBytes = 512 << 10 // of commands that are appended together
	batchCount = 256
)

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var who error
	if c.ID == "" {
		who = errors.New("zookeeper log: no member id")
	}
	return errors.Join(who, c.validatePlace())
}

// validatePlace is of all but the member's id, which who only reads has no need for.
func (c Config) validatePlace() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Servers) > 0, "zookeeper log: no servers")
	check(c.Root == "" || validRoot(c.Root), "zookeeper log: %q is not a path such as /registrard", c.Root)
	check(c.Auth == "" || strings.Index(c.Auth, ":") > 0, "zookeeper log: the credentials are not USER:PASSWORD")
	check(c.Auth != "" || !c.WorldReadable, "zookeeper log: without credentials everything is readable")
	check(c.SessionTimeout >= 0, "zookeeper log: session timeout of %v", c.SessionTimeout)
	check(c.MaxCommand >= 0 && c.MaxCommand <= maxCommand, "largest command of %d bytes: at most %d", c.MaxCommand, maxCommand)
	return errors.Join(problems...)
}

func validRoot(root string) bool {
	if len(root) < 2 || root[0] != '/' {
		return false
	}
	for _, name := range strings.Split(root[1:], "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return false
		}
	}
	return true
}

func (c Config) withDefaults() Config {
	c.Root = cmp.Or(c.Root, defaultRoot)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 6*time.Second)
	c.SnapshotBytes = cmp.Or(c.SnapshotBytes, 16<<20)
	c.MaxCommand = cmp.Or(c.MaxCommand, 32<<20)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// ParseServers reads HOST:PORT,HOST:PORT/ROOT, as ZooKeeper's own clients do; the port is 2181 where it is left out,
// and root is empty where there is none.
func ParseServers(text string) (servers []string, root string, err error) {
	list, path, rooted := strings.Cut(text, "/")
	if rooted {
		if root = "/" + strings.TrimSuffix(path, "/"); !validRoot(root) {
			return nil, "", fmt.Errorf("%q is not a path", root)
		}
	}
	for _, server := range strings.Split(list, ",") {
		server = strings.TrimSpace(server)
		host, port, err := net.SplitHostPort(server)
		if err != nil && server != "" {
			host, port, err = net.SplitHostPort(net.JoinHostPort(strings.Trim(server, "[]"), defaultPort))
		}
		if err != nil || host == "" || port == "" {
			return nil, "", fmt.Errorf("%q is not HOST:PORT", server)
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	return servers, root, nil
}
