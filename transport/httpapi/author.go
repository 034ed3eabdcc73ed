package httpapi

import (
	"net"
	"net/http"
)

// author is who asks: the name in the client's certificate, or its address. A member that passes a request on says for
// whom; nobody else may.
func (a *API) author(r *http.Request) string {
	if by := r.Header.Get(headerBy); by != "" && a.fromMember(r) {
		return by
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if name := r.TLS.VerifiedChains[0][0].Subject.CommonName; name != "" {
			return name
		}
	}
	return remote(r)
}

// fromMember tells whether a request comes from the member that it says passed it on: whose certificate is one for
// the member's announced host, or, where nobody shows one, whose address is the member's. A host that is a name
// is believed then: without certificates nobody is more than an address.
func (a *API) fromMember(r *http.Request) bool {
	member, known := a.Registrar.State().Member(r.Header.Get(headerForwarded))
	if !known {
		return false
	}
	host, _, err := net.SplitHostPort(member.HTTPAddr)
	if err != nil {
		return false
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return r.TLS.VerifiedChains[0][0].VerifyHostname(host) == nil
	}
	ip := net.ParseIP(host)
	return ip == nil || ip.Equal(net.ParseIP(remote(r)))
}

// remote is the address that a request comes from, without its port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
