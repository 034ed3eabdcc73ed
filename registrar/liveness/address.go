package liveness

import (
	"encoding/json"
	"fmt"

	"github.com/registrard/registrard/fsm"
)

// address is where an agent is reached. Two live agents cannot share one.
type address struct {
	hostname string
	port     int
}

func (a address) String() string { return fmt.Sprintf("%s:%d", a.hostname, a.port) }

// addressIn reads the address out of an agent's info, and is zero where there is none.
func addressIn(info fsm.Info) address {
	var fields struct {
		Hostname string `json:"hostname"`
		Port     int    `json:"port"`
	}
	if json.Unmarshal([]byte(info), &fields) != nil {
		return address{}
	}
	return address{hostname: fields.Hostname, port: fields.Port}
}

// holder returns the agent at an address, as far as the roll knows.
func (r *roll) holder(a address) (*entry, bool) {
	i, ok := r.byAddress[a]
	if !ok {
		return nil, false
	}
	return &r.entries[i], true
}
