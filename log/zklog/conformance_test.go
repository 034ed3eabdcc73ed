package zklog

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
	"github.com/registrard/registrard/log/zklog/zktest"
)

type result = logtest.Result

var roots atomic.Int64

// config is of a member on a root that nobody has used.
func config(t testing.TB, e *zktest.Ensemble, id string) Config {
	return Config{
		ID: id, Servers: e.Addresses(), Root: fmt.Sprintf("/tests/%d", roots.Add(1)), SessionTimeout: 4 * zktest.Tick, MaxCommand: 4 << 20,
	}
}

func testOpen(t testing.TB, cfg Config, m log.StateMachine[result]) (*Log[result], error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Open(ctx, cfg, m)
}

const patience = 60 * time.Second

// The conformance suite, over one root per test on one server.
func TestConformance(t *testing.T) {
	e := zktest.Start(t, 1)
	logtest.Run(t, logtest.Backend{
		Storage: func(t testing.TB) func(log.StateMachine[result]) (log.Log[result], error) {
			cfg := config(t, e, "n1")
			return func(m log.StateMachine[result]) (log.Log[result], error) {
				return testOpen(t, cfg, m)
			}
		},
		LoseReign: func(t testing.TB, l log.Log[result]) { l.(*Log[result]).loseReign(t) },
		Crash:     func(t testing.TB, l log.Log[result]) { l.(*Log[result]).crash() },
		TooLarge:  4<<20 + 1,
	})
}
