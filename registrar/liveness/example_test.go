package liveness_test

import (
	"context"
	"fmt"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
)

// A master that knows which of its agents are there: register and heartbeat are what its own protocol calls. With
// raftlog.Open in place of memlog.Open the same lines are one master of several, and the next one goes on where this one
// ends.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	registry := fsm.New()
	log, err := memlog.Open(memlog.Config{ID: "m1"}, registry)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	master, err := registrar.New(registrar.Defaults("m1"), log, registry)
	if err != nil {
		panic(err)
	}
	watchman, err := liveness.New(liveness.Defaults(), master)
	if err != nil {
		panic(err)
	}
	go master.Run(ctx)
	if _, err := watchman.Lead(ctx); err != nil { // a master's own work ends with the reign that it returns
		panic(err)
	}

	agent, err := fsm.AgentInfo{ID: "a1", Hostname: "node-1.example.org"}.Object()
	if err != nil {
		panic(err)
	}
	for range 2 {
		registration, err := watchman.Register(ctx, agent, "node-1")
		fmt.Println(registration.Action, err)
	}
	heard, err := watchman.Heard([]string{"a1", "a2"})
	fmt.Println(heard.Unknown, err)
	// Output:
	// admitted <nil>
	// unchanged <nil>
	// [a2] <nil>
}
