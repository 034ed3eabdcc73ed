package registrar_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log/memlog"
	"github.com/registrard/registrard/registrar"
)

// A master that keeps its agents in a registry of its own. With raftlog.Open in place of memlog.Open the same
// lines are one member of a cluster.
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
	leads := make(chan struct{})
	master.Duty("say so", func(reign context.Context) error {
		close(leads)
		<-reign.Done()
		return nil
	})
	go master.Run(ctx)
	<-leads

	agent, err := fsm.AgentInfo{ID: "a1", Hostname: "node-1.example.org"}.Object()
	if err != nil {
		panic(err)
	}
	_, err = master.Apply(ctx, fsm.AdmitAgent{Agent: agent})
	fmt.Println("admitted:", err == nil)

	_, err = master.Apply(ctx, fsm.AdmitAgent{Agent: agent})
	var refused *fsm.Rejection
	fmt.Println(errors.As(err, &refused), refused.Code)

	state, err := master.View(ctx, registrar.Linearizable)
	fmt.Println(state.Count(fsm.Admitted), err)
	// Output:
	// admitted: true
	// true already_admitted
	// 1 <nil>
}
