package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/transport/client"
)

// demo is three masters and some agents, each a process of its own on this machine, and what is done to them.
type demo struct {
	agents    int
	window    time.Duration
	heartbeat time.Duration

	dir     string
	program string
	out     io.Writer
	began   time.Time
	masters map[string]*child // by id
	clients map[string]*client.Client
	workers map[string]*child // agents, by id
}

func demoCommand() *cobra.Command {
	d := &demo{}
	c := &cobra.Command{
		Use:   "master-demo",
		Short: "See a new master name the agent that died while nobody led",
		Long: `Start three masters, each with a node of the registry, and some agents, all of them processes on this machine. Kill the
leading master and one agent in the same moment. The master that follows knows from the registry who should be there,
waits a window for them, and names the one that died. It takes some ten seconds and leaves nothing behind.`,
		Args: arguments(cobra.NoArgs),
	}
	f := c.Flags()
	f.IntVar(&d.agents, "agents", 5, "how many agents, 3 to 100")
	f.DurationVar(&d.window, "window", 5*time.Second, "what agents have to be heard from after a change of master")
	f.DurationVar(&d.heartbeat, "heartbeat", 500*time.Millisecond, "how often agents say that they are there")
	environment(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if d.agents < 3 || d.agents > 100 {
			return usage("--agents %d is not between 3 and 100", d.agents)
		}
		if d.heartbeat < 50*time.Millisecond || d.window < d.heartbeat {
			return usage("--window %s and --heartbeat %s: a heartbeat is 50ms at least, and a window one heartbeat", d.window, d.heartbeat)
		}
		d.out = c.OutOrStdout()
		return d.run(c.Context())
	}
	c.AddCommand(demoMasterCommand(), demoAgentCommand())
	return c
}

// run tells the story from begin to end. Whatever happens, no process and no file is left.
func (d *demo) run(ctx context.Context) (err error) {
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "registrard-demo-"); err != nil {
		return err
	}
	d.began = time.Now()
	d.masters, d.clients, d.workers = map[string]*child{}, map[string]*client.Client{}, map[string]*child{}
	defer func() {
		for _, c := range d.clients {
			c.Close()
		}
		for _, processes := range []map[string]*child{d.workers, d.masters} {
			for _, p := range processes {
				p.kill()
			}
		}
		err = errors.Join(err, os.RemoveAll(d.dir))
	}()
	if err := d.start(ctx); err != nil {
		return err
	}
	first, err := d.leader(ctx)
	if err != nil {
		return err
	}
	d.say("%s leads; %d agents registered and send a heartbeat every %s", first, d.agents, d.heartbeat)

	dead := "a" + fmt.Sprint(d.agents/2+1)
	d.masters[first].kill()
	d.workers[dead].kill()
	d.say("kill -9: the leading master %s and the agent %s, in the same moment", first, dead)
	delete(d.masters, first)
	delete(d.clients, first)

	second, err := d.leader(ctx)
	if err != nil {
		return err
	}
	d.say("%s leads; it knows %d agents from the registry and gives each %s to be heard from", second, d.agents, d.window)
	return d.watch(ctx, second, dead)
}

// watch follows what the new master writes until it has named somebody, and then for as long as a living agent would
// need to be named too.
func (d *demo) watch(ctx context.Context, leader, dead string) error {
	patience, cancel := context.WithTimeout(ctx, d.window+time.Minute)
	defer cancel()
	after := d.clients[leader].Seen()
	quiet := time.AfterFunc(time.Hour, cancel)
	defer quiet.Stop()
	var named []string
	for change, err := range d.clients[leader].Watch(patience, after) {
		if err != nil {
			break
		}
		if change.Kind != "agent.unreachable" {
			continue
		}
		d.say("%s is unreachable: %s", change.ID, change.Reason)
		named = append(named, change.ID)
		quiet.Reset(demoMissed * d.heartbeat)
	}
	switch {
	case ctx.Err() != nil:
		return errSaid // somebody had enough of it
	case !slices.Equal(named, []string{dead}):
		return fmt.Errorf("%v were named, and %s alone has died", named, dead)
	}
	return d.conclude(ctx)
}

// conclude compares what the masters that are left say.
func (d *demo) conclude(ctx context.Context) error {
	digests := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(d.clients)) {
		state, err := d.clients[id].Status(ctx)
		if err != nil {
			return err
		}
		digests[state.Digest] = true
		d.say("%s says: %d admitted, %d unreachable; digest %.12s", id, state.Agents.Admitted, state.Agents.Unreachable, state.Digest)
	}
	if len(digests) != 1 {
		return errors.New("the masters differ")
	}
	d.say("the one that died was missed, nobody else was, and the masters agree")
	return nil
}

// demoMissed is how many heartbeats an agent of the demo may miss.
const demoMissed = 4

// start starts everything, and returns once every agent has registered.
func (d *demo) start(ctx context.Context) error {
	addresses, err := freeAddresses(6)
	if err != nil {
		return err
	}
	var initial, urls []string
	for i := range 3 {
		initial = append(initial, fmt.Sprintf("m%d=%s", i+1, addresses[i]))
		urls = append(urls, "http://"+addresses[3+i])
	}
	for i := range 3 {
		id := fmt.Sprint("m", i+1)
		d.masters[id], err = d.spawn(id, "master-demo", "master", "--", "--id", id, "--data-dir", filepath.Join(d.dir, id),
			"--raft-addr", addresses[i], "--http-addr", addresses[3+i], "--initial-members", strings.Join(initial, ","),
			"--liveness", "--agent-heartbeat", d.heartbeat.String(), "--agent-max-missed", fmt.Sprint(demoMissed),
			"--agent-reregister-timeout", d.window.String())
		if err != nil {
			return err
		}
		if d.clients[id], err = client.New(client.Config{Addresses: urls[i : i+1], AskOnly: true}); err != nil {
			return err
		}
	}
	d.say("three masters start, each with a node of the registry")
	for i := range d.agents {
		id := fmt.Sprint("a", i+1)
		if d.workers[id], err = d.spawn(id, "master-demo", "agent", id, "--heartbeat", d.heartbeat.String(), "--address", strings.Join(urls, ",")); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	admitted := 0
	for change, err := range d.clients["m1"].Watch(ctx, 0) {
		if err != nil {
			return d.failed("the agents did not register", err)
		}
		if change.Kind == "agent.admit" {
			admitted++
		}
		if admitted == d.agents {
			break
		}
	}
	return nil
}

// leader waits until a master leads, and returns its id.
func (d *demo) leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		for id, c := range d.clients {
			// A linearizable read is answered by a master whose reign has begun.
			status, err := c.Status(ctx)
			if err != nil || status.Role != string(log.Leader) {
				continue
			}
			if _, err := c.Master(ctx, registrar.Linearizable); err == nil {
				return id, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", d.failed("nobody leads", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// failed is an error that shows what the processes said.
func (d *demo) failed(what string, err error) error {
	var said strings.Builder
	for _, name := range []string{"m1", "m2", "m3", "a1"} {
		text, _ := os.ReadFile(filepath.Join(d.dir, name+".log"))
		fmt.Fprintf(&said, "\n%s: %s", name, text)
	}
	return fmt.Errorf("%s: %w%s", what, err, said.String())
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// child is a process of the demo. It ends when its standard input does, so that none outlives the demo, however that
// ends.
type child struct {
	*exec.Cmd
	leash io.Closer
}

func (d *demo) spawn(name string, args ...string) (*child, error) {
	log, err := os.Create(filepath.Join(d.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{Cmd: exec.Command(d.program, args...)}
	c.Stdout, c.Stderr = log, log
	if c.leash, err = c.StdinPipe(); err != nil {
		return nil, err
	}
	return c, c.Start()
}

// kill is kill -9, and waits for the end.
func (c *child) kill() {
	_ = c.Process.Kill() // it may have ended by itself
	_ = c.Wait()
	_ = c.leash.Close()
}

// leashed is a context that ends when standard input does.
func leashed(ctx context.Context, in io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	return ctx, cancel
}

// demoMasterCommand is one master of the demo: serve, on a leash.
func demoMasterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "master -- FLAGS", Short: "One master of the demo", Hidden: true, Args: arguments(cobra.ArbitraryArgs),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := leashed(c.Context(), c.InOrStdin())
			defer cancel()
			serve := serveCommand()
			serve.SetArgs(args)
			return serve.ExecuteContext(ctx)
		},
	}
}

// demoAgentCommand is one agent of the demo: it registers, sends heartbeats, and registers again when it is told to.
func demoAgentCommand() *cobra.Command {
	var heartbeat time.Duration
	c := &cobra.Command{Use: "agent ID", Short: "One agent of the demo", Hidden: true, Args: arguments(cobra.ExactArgs(1))}
	c.Flags().DurationVar(&heartbeat, "heartbeat", time.Second, "how often it says that it is there")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, args []string) error {
		ctx, cancel := leashed(ctx, c.InOrStdin())
		defer cancel()
		agent, err := fsm.AgentInfo{ID: args[0], Hostname: args[0] + ".example.org"}.Object()
		if err != nil {
			return err
		}
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		for registered := false; ; {
			if !registered {
				answer, err := t.Register(ctx, agent)
				registered = err == nil
				if err == nil && answer.Code == fsm.AgentGone {
					return errors.New(answer.Message)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-beat.C:
			}
			heard, err := t.Heartbeats(ctx, []string{agent.ID})
			if err == nil {
				registered = len(heard.Unknown)+len(heard.Unreachable) == 0
			}
		}
	})
}

// freeAddresses asks the system for addresses on loopback that nobody has.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
