package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/registrard/registrard/registrar"
	"github.com/registrard/registrard/registrar/liveness"
)

func serveCommand() *cobra.Command { return serving(serverOptions{backend: backendRaft}) }

// serving is the command that runs a member.
func serving(o serverOptions) *cobra.Command {
	var initial string
	c := &cobra.Command{
		Use:   "serve --id ID --data-dir DIR --http-addr HOST:PORT --raft-addr HOST:PORT",
		Short: "Run one member of a cluster",
		Long: `Run one member of a cluster.

A new cluster begins when all of --initial-members run with the same list; the flag has no effect once the
directory holds the cluster. A further member joins with --join and the address of any running one. With --replaces it
takes the place of one that is dead or shall go: it joins, catches up, becomes a voter, and then has that one removed.`,
		Args: arguments(cobra.NoArgs),
	}
	f := c.Flags()
	f.StringVar(&o.id, "id", "", "name of this member for all time")
	f.StringVar(&o.dataDir, "data-dir", "", "directory for everything that this member must not forget")
	f.StringVar(&o.httpAddr, "http-addr", "127.0.0.1:7050", "where clients and members send requests")
	f.StringVar(&o.raftAddr, "raft-addr", "127.0.0.1:7051", "where members replicate")
	f.StringVar(&initial, "initial-members", "", "found a cluster: every member's ID=HOST:PORT of its --raft-addr, comma separated")
	f.StringVar(&o.join, "join", "", "join the cluster of which this is a member's HTTP address")
	f.StringVar(&o.replaces, "replaces", "", "with --join: the member that is removed once this one is a voter; its directory may be lost")
	f.StringVar(&o.backend, "log", backendRaft, "where the log is kept: raft, leveldb (one node), zookeeper, or memory (one node, for tests)")
	o.zookeeper.flags(f)
	logging := o.flags(c)
	environment(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if o.initialMembers, err = parseMembers(initial); err != nil {
			return err
		}
		switch {
		case o.id == "":
			return usage("--id is required")
		case o.join != "" && initial != "":
			return usage("--join and --initial-members exclude each other")
		case o.replaces != "" && o.join == "":
			return usage("--replaces goes with --join")
		case o.replaces == o.id:
			return usage("--replaces %s: an id is for all time, the member that takes its place needs another", o.id)
		}
		if err := o.checkBackend(); err != nil {
			return err
		}
		logger, err := logging.logger(c)
		if err != nil {
			return err
		}
		return o.serve(c.Context(), logger, func(s *sockets) {
			logger.Info("serving", "id", o.id, "http", s.httpAddr, "raft", s.raftAddr, "version", version())
		})
	}
	return c
}

func devCommand() *cobra.Command {
	o := serverOptions{id: "n1", backend: backendRaft}
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster of one node on this machine, data kept",
		Args:  arguments(cobra.NoArgs),
	}
	f := c.Flags()
	f.StringVar(&o.dataDir, "data-dir", "", "where the data is kept (default: registrard/dev in the user's state directory)")
	f.StringVar(&o.httpAddr, "http-addr", "127.0.0.1:7050", "where clients send requests")
	f.StringVar(&o.raftAddr, "raft-addr", "127.0.0.1:7051", "where further members would replicate")
	logging := o.flags(c)
	_ = f.Set("log-level", "warn") // the flag is there, and the value is one
	f.Lookup("log-level").DefValue = "warn"
	f.Lookup("log-level").Changed = false
	logging.quiet.Add("heartbeat timeout reached, starting election") // a node by itself always begins so
	environment(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.dataDir == "" {
			dir, err := stateDir()
			if err != nil {
				return err
			}
			o.dataDir = dir
		}
		o.alone = true
		logger, err := logging.logger(c)
		if err != nil {
			return err
		}
		return o.serve(c.Context(), logger, func(s *sockets) {
			c.Printf("registrard is ready on http://%s, data in %s\n", s.httpAddr, o.dataDir)
			c.Printf("Try:  registrard status    registrard agents    registrard watch    (Ctrl-C ends this node)\n")
		})
	}
	return c
}

// stateDir is where dev keeps its data, by the XDG convention.
func stateDir() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usage("there is no home directory: give --data-dir")
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "registrard", "dev"), nil
}

// flags are those that serve and dev share.
func (o *serverOptions) flags(c *cobra.Command) *logging {
	f := c.Flags()
	o.registrar, o.liveness = registrar.Defaults("unset"), liveness.Defaults()
	f.StringVar(&o.advertiseHTTP, "advertise-http", "", "HTTP address that others reach, where --http-addr is a wildcard")
	f.StringVar(&o.advertiseRaft, "advertise-raft", "", "Raft address that others reach, where --raft-addr is a wildcard")
	f.StringVar(&o.httpCert, "http-cert", "", "certificate for HTTP, PEM; read again when it changes")
	f.StringVar(&o.httpKey, "http-key", "", "its key")
	f.StringVar(&o.clientCA, "client-ca", "", "authority whose clients alone are served")
	f.StringVar(&o.peerCert, "peer-cert", "", "certificate for members, PEM; read again when it changes")
	f.StringVar(&o.peerKey, "peer-key", "", "its key")
	f.StringVar(&o.peerCA, "peer-ca", "", "authority of all members' certificates")
	f.BoolVar(&o.insecurePeers, "insecure-peers", false, "replicate without certificates beyond this machine")
	f.DurationVar(&o.heartbeat, "heartbeat-timeout", 300*time.Millisecond, "silence of the leader after which members elect another")
	f.Int64Var(&o.snapshotBytes, "snapshot-bytes", 0, "log since the last snapshot that makes a new one, if it is large beside that too (default 128 MiB, leveldb 64 MiB, zookeeper 16 MiB)")
	f.IntVar(&o.registrar.InFlight, "frames-in-flight", o.registrar.InFlight, "log entries proposed and not yet applied, 1 to 16")
	f.IntVar(&o.maxConnections, "max-connections", 0, "HTTP connections at a time, more have to wait (default: what open files allow)")
	f.DurationVar(&o.shutdown, "shutdown-timeout", 10*time.Second, "what handing over and finishing requests may take at the end")
	f.Uint64Var(&o.registrar.MaxRegistryBytes, "max-registry-bytes", o.registrar.MaxRegistryBytes, "size above which the registry does not grow")
	f.DurationVar(&o.registrar.PruneInterval, "prune-interval", o.registrar.PruneInterval, "how often the leader looks for what to forget")
	f.DurationVar(&o.registrar.MaxAge, "max-agent-age", o.registrar.MaxAge, "how long unreachable and gone agents are remembered")
	f.IntVar(&o.registrar.MaxCount, "max-agent-count", o.registrar.MaxCount, "how many unreachable, and how many gone, agents are remembered")
	f.DurationVar(&o.registrar.FrameworkMaxAge, "max-framework-age", o.registrar.FrameworkMaxAge, "how long completed frameworks are remembered")
	f.IntVar(&o.registrar.FrameworkMaxCount, "max-framework-count", o.registrar.FrameworkMaxCount, "how many completed frameworks are remembered")
	f.BoolVar(&o.watch, "liveness", false, "mark agents unreachable that are not heard from")
	f.DurationVar(&o.liveness.Heartbeat, "agent-heartbeat", o.liveness.Heartbeat, "how often agents are expected to be heard from")
	f.IntVar(&o.liveness.MaxMissed, "agent-max-missed", o.liveness.MaxMissed, "heartbeats in a row that may be missed")
	f.DurationVar(&o.liveness.Window, "agent-reregister-timeout", o.liveness.Window, "what agents have to be heard from after a change of leader")
	f.Var(&rateFlag{&o.liveness.RemovalRate}, "agent-removal-rate", "how fast agents are marked, such as 100/1m (default no bound)")
	f.Var(&percentFlag{&o.liveness.RemovalLimit}, "agent-removal-limit", "share of agents above which nobody is marked until a person decides")
	l := &logging{}
	f.StringVar(&l.level, "log-level", "info", "trace, debug, info, warn or error")
	f.StringVar(&l.format, "log-format", "text", "text or json")
	return l
}

// rateFlag and percentFlag are liveness's own forms as flags.
type rateFlag struct{ r *liveness.Rate }

func (f *rateFlag) String() string {
	if f.r == nil || *f.r == (liveness.Rate{}) {
		return ""
	}
	return f.r.String()
}
func (f *rateFlag) Type() string { return "N/duration" }
func (f *rateFlag) Set(s string) (err error) {
	*f.r, err = liveness.ParseRate(s)
	return err
}

type percentFlag struct{ p *liveness.Percent }

func (f *percentFlag) String() string {
	if f.p == nil {
		return ""
	}
	return f.p.String()
}
func (f *percentFlag) Type() string { return "N%" }
func (f *percentFlag) Set(s string) (err error) {
	*f.p, err = liveness.ParsePercent(s)
	return err
}

// logging is where the log goes and how.
type logging struct {
	level, format string
	quiet         hclog.ExcludeByMessage // what goes without saying
}

func (l *logging) logger(c *cobra.Command) (hclog.Logger, error) {
	level := hclog.LevelFromString(l.level)
	if level == hclog.NoLevel {
		return nil, usage("--log-level %q is not one of trace, debug, info, warn, error", l.level)
	}
	if l.format != "text" && l.format != "json" {
		return nil, usage("--log-format %q is neither text nor json", l.format)
	}
	return hclog.New(&hclog.LoggerOptions{
		Name: "registrard", Level: level, Output: c.ErrOrStderr(), JSONFormat: l.format == "json",
		Exclude: func(level hclog.Level, message string, args ...any) bool {
			return l.quiet.Exclude(level, message, args...)
		},
	}), nil
}

// parseMembers reads n1=host:port,n2=host:port.
func parseMembers(text string) (map[string]string, error) {
	members := map[string]string{}
	for _, member := range strings.Split(text, ",") {
		if text == "" {
			break
		}
		id, address, ok := strings.Cut(strings.TrimSpace(member), "=")
		if !ok || id == "" || address == "" {
			return nil, usage("--initial-members: %q is not ID=HOST:PORT", member)
		}
		if members[id] != "" {
			return nil, usage("--initial-members names %s twice", id)
		}
		members[id] = address
	}
	return members, nil
}
