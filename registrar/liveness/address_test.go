package liveness

import (
	"testing"

	"github.com/registrard/registrard/fsm"
)

// The short way to an address and the long one find the same, or the short one passes.
func TestAddressIn(t *testing.T) {
	for info, want := range map[fsm.Info]address{
		`{"id":"a","hostname":"h1","port":5051,"checkpoint":false}`:       {"h1", 5051},
		`{"id":"a","hostname":"H1","port":5051,"checkpoint":false}`:       {"h1", 5051},
		`{"id":"a\"b","hostname":"h1","port":5051,"checkpoint":false}`:    {"h1", 5051},
		`{"id":"a\\","hostname":"h1","port":5051,"checkpoint":false}`:     {"h1", 5051},
		`{"id":"a","hostname":"h\u0031","port":5051,"checkpoint":false}`:  {"h1", 5051},
		`{"id":"a","hostname":"h\",\"port\":1,","port":2,"c":1}`:          {`h","port":1,`, 2},
		`{"id":"hostname","x":"hostname","hostname":"h","port":1}`:        {"h", 1},
		`{"id":"a","hostname":"h1","port":70000,"checkpoint":false}`:      {},
		`{"id":"a","hostname":"h1","port":"5051","checkpoint":false}`:     {},
		`{"id":"a","hostname":"h1","port":50512345678901234567890,"c":1}`: {},
		`{"id":"a"}`: {},
		``:           {},
		`[]`:         {},
	} {
		if got := addressIn(info); got != want {
			t.Errorf("%s: %+v, not %+v", info, got, want)
		}
	}
}
