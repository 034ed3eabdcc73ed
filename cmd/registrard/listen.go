package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/netutil"

	"github.com/registrard/registrard/transport"
)

// sockets is where a server is reached, opened before anything else so that a port that is taken is the first
// thing said.
type sockets struct {
	http, raft         net.Listener
	httpAddr, raftAddr string                  // as others reach them
	peerTLS, httpTLS   *transport.Certificates // nil: none
	connections        int                     // over HTTP, at a time
}

func (s *sockets) close() {
	for _, l := range []net.Listener{s.http, s.raft} {
		if l != nil {
			_ = l.Close() // the raft listener may be closed by its owner
		}
	}
}

// listen opens both sockets by the rules: an address that others cannot use must be advertised as another, and
// peers beyond this machine need certificates, or somebody who says that they do not.
func (o serverOptions) listen() (_ *sockets, err error) {
	s := &sockets{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.httpTLS, err = certificates("http", o.httpCert, o.httpKey, o.clientCA); err != nil {
		return nil, err
	}
	if s.peerTLS, err = certificates("peer", o.peerCert, o.peerKey, o.peerCA); err != nil {
		return nil, err
	}
	if s.http, s.httpAddr, err = bind("http", o.httpAddr, o.advertiseHTTP); err != nil {
		return nil, err
	}
	if s.connections, err = o.connections(); err != nil {
		return nil, err
	}
	s.http = netutil.LimitListener(s.http, s.connections)
	if s.httpTLS != nil {
		s.http = tls.NewListener(s.http, s.httpTLS.Server())
	}
	if o.backend != backendRaft {
		return s, nil
	}
	if s.raft, s.raftAddr, err = bind("raft", o.raftAddr, o.advertiseRaft); err != nil {
		return nil, err
	}
	if s.peerTLS == nil && !o.insecurePeers && !isLoopback(s.raft.Addr()) {
		return nil, usage("--raft-addr %s is reachable from other machines: give --peer-cert, --peer-key and --peer-ca, or --insecure-peers", o.raftAddr)
	}
	return s, nil
}

// bind listens on an address, and says under which one others reach it.
func bind(what, address, advertised string) (net.Listener, string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", usage("--%s-addr %q is not host:port", what, address)
	}
	if ip, err := netip.ParseAddr(host); (host == "" || err == nil && ip.IsUnspecified()) && advertised == "" {
		return nil, "", usage("--%s-addr %q is every address of this machine: say with --advertise-%s which one others reach", what, address, what)
	}
	if advertised != "" {
		if _, _, err := net.SplitHostPort(advertised); err != nil {
			return nil, "", usage("--advertise-%s %q is not host:port", what, advertised)
		}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("--%s-addr: %w", what, err)
	}
	if advertised == "" {
		_, port, _ := net.SplitHostPort(listener.Addr().String()) // the address is the listener's own
		advertised = net.JoinHostPort(host, port)
	}
	return listener, advertised, nil
}

// ownFiles is how many descriptors are kept for the log, snapshots and other members.
const ownFiles = 512

// connections is how many connections over HTTP there may be at a time. Clients must never take the descriptors
// that the log needs, for a node that cannot open its next segment stops.
func (o serverOptions) connections() (int, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	allowed := 1 << 20
	if files.Cur < uint64(allowed) {
		allowed = int(files.Cur)
	}
	allowed -= ownFiles
	switch {
	case allowed < 64:
		return 0, usage("the limit of %d open files leaves no room for clients: raise it to %d at least (ulimit -n)", files.Cur, ownFiles+64)
	case o.maxConnections < 0 || o.maxConnections > allowed:
		return 0, usage("--max-connections %d is not between 1 and %d, which the limit of %d open files allows", o.maxConnections, allowed, files.Cur)
	case o.maxConnections > 0:
		return o.maxConnections, nil
	}
	return allowed, nil
}

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// certificates loads a set that is given whole or not at all; the authority may be left out for HTTP.
func certificates(what, cert, key, authority string) (*transport.Certificates, error) {
	if cert == "" && key == "" && authority == "" {
		return nil, nil
	}
	if cert == "" || key == "" || what == "peer" && authority == "" {
		return nil, usage("the %s certificate is not complete: --%s-cert, --%s-key%s belong together", what, what, what, map[bool]string{true: " and --peer-ca"}[what == "peer"])
	}
	loaded, err := transport.LoadCertificates(cert, key, authority)
	if err != nil {
		return nil, fmt.Errorf("%s certificate: %w", what, err)
	}
	return loaded, nil
}
