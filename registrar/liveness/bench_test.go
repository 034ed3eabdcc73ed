package liveness

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
)

// A million agents at one heartbeat per 15 s are 66,667 heartbeats a second: at 15 µs each they cost a core. One
// iteration is one heartbeat, in batches of a thousand, with the wheel turning beside it.
func BenchmarkHeartbeats(b *testing.B) {
	const agents = 1_000_000
	machine := fsm.New()
	l, err := memlog.Open(memlog.Config{ID: "a"}, machine)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	r, err := registrar.New(registrar.Defaults("a"), l, machine)
	if err != nil {
		b.Fatal(err)
	}
	w, err := New(Defaults(), r)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	if _, err := w.Lead(ctx); err != nil {
		b.Fatal(err)
	}
	ids := make([]string, agents)
	ps := make([]fsm.Proposal, agents)
	for i := range ids {
		ids[i] = fmt.Sprintf("agent-%07d", i)
		ps[i].Op = fsm.AdmitAgent{Agent: agent(ids[i])}
	}
	for batch := range slices.Chunk(ps, 5000) {
		if _, err := r.Propose(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 1000 {
		from := n % agents
		if heard, err := w.Heard(ids[from : from+1000]); err != nil || len(heard.Unknown) > 0 {
			b.Fatal(heard, err)
		}
	}
	b.StopTimer()
	cancel()
	if err := <-ran; err != nil {
		b.Error(err)
	}
}
