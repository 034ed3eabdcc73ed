package liveness

import (
	"cmp"
	"net"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/registrard/registrard/fsm"
)

// address is where an agent is reached. Two live agents cannot share one. The zero value is none.
type address struct {
	hostname string // lower case: hostnames are compared without regard to it
	port     uint16
}

func (a address) String() string { return net.JoinHostPort(a.hostname, strconv.Itoa(int(a.port))) }

// addressIn reads the address out of an agent's info, and is zero where there is none. It reads no further than
// it must: a new leader does this for every agent, and the canonical form has both near its beginning.
func addressIn(info fsm.Info) (found address) {
	if found, ok := plainAddress(string(info)); ok {
		return found
	}
	d := jsontext.NewDecoder(strings.NewReader(string(info)))
	if _, err := d.ReadToken(); err != nil {
		return address{}
	}
	for d.PeekKind() == jsontext.KindString {
		name, _ := d.ReadToken()
		switch name.String() {
		case "hostname":
			if d.PeekKind() != jsontext.KindString {
				return address{}
			}
			hostname, _ := d.ReadToken()
			found.hostname = strings.ToLower(hostname.String())
		case "port":
			if d.PeekKind() != jsontext.KindNumber {
				return address{}
			}
			port, _ := d.ReadToken()
			number, err := strconv.ParseUint(port.String(), 10, 16)
			if err != nil {
				return address{}
			}
			found.port = uint16(number)
		default:
			if d.SkipValue() != nil {
				return address{}
			}
		}
		if found.hostname != "" && found.port != 0 {
			return found
		}
	}
	return address{}
}

// plainAddress is addressIn for what begins as the canonical form of nearly every agent does, without an escape or a
// capital in its id and hostname: the address then shares the info's memory, and costs a tenth.
func plainAddress(info string) (found address, ok bool) {
	rest, ok := strings.CutPrefix(info, `{"id":"`)
	_, rest, isID := strings.Cut(rest, `"`)
	hostname, isHostname := strings.CutPrefix(rest, `,"hostname":"`)
	hostname, rest, isEnd := strings.Cut(hostname, `"`)
	digits, isPort := strings.CutPrefix(rest, `,"port":`)
	digits, _, isNumber := strings.Cut(digits, `,`)
	port, err := strconv.ParseUint(digits, 10, 16)
	if !ok || !isID || !isHostname || !isEnd || !isPort || !isNumber || err != nil || hostname == "" || port == 0 ||
		strings.Contains(info[:len(info)-len(rest)], `\`) || strings.ToLower(hostname) != hostname {
		return address{}, false
	}
	return address{hostname, uint16(port)}, true
}

// holder returns the agent at an address, as far as the roll knows.
func (r *roll) holder(a address) (*entry, bool) {
	i, ok := r.byAddress[a]
	if !ok {
		return nil, false
	}
	return &r.entries[i], true
}

// down is the machines that maintenance has taken out of service, by hostname, or by IP address where
// that is all that is known of one.
type down map[string]bool

func downIn(state *fsm.State) down {
	d := make(down)
	for machine := range state.Machines() {
		if machine.Mode != fsm.ModeDown {
			continue
		}
		name := cmp.Or(machine.ID.Hostname, machine.ID.IP)
		d[strings.ToLower(name)] = true
	}
	return d
}

// has says whether the machine at an address is down.
func (d down) has(a address) bool { return d[a.hostname] }
