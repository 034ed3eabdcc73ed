package main

import (
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"github.com/registrard/registrard/log/zklog"
)

// zookeeperOptions is what the flags say of an ensemble.
type zookeeperOptions struct {
	servers       string
	authFile      string
	worldReadable bool
	session       time.Duration
}

func (z *zookeeperOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&z.servers, "zookeeper", "", "servers of the ensemble, HOST:PORT,..., and where below, /registrard unless given: HOST:PORT,.../PATH")
	f.StringVar(&z.authFile, "zookeeper-auth-file", "", "file with USER:PASSWORD for ZooKeeper's digest scheme; all nodes are then that user's alone")
	f.BoolVar(&z.worldReadable, "zookeeper-world-readable", false, "let anybody read the nodes nevertheless")
	f.DurationVar(&z.session, "zookeeper-session", 0, "silence after which the ensemble takes a member for dead (default 6s)")
}

// zookeeperLog is how to open the log on ZooKeeper.
func (o serverOptions) zookeeperLog(logger hclog.Logger) (config zklog.Config, err error) {
	z := o.zookeeper
	if z.servers == "" {
		return config, usage("--zookeeper is required")
	}
	config = zklog.Config{
		ID: o.id, Dir: o.dataDir, WorldReadable: z.worldReadable, SessionTimeout: z.session,
		SnapshotBytes: uint64(o.snapshotBytes), Logger: logger,
	}
	if config.Servers, config.Root, err = zklog.ParseServers(z.servers); err != nil {
		return config, usage("--zookeeper: %w", err)
	}
	if z.authFile != "" {
		text, err := os.ReadFile(z.authFile)
		if err != nil {
			return config, usage("--zookeeper-auth-file: %w", err)
		}
		if config.Auth = strings.TrimSpace(string(text)); config.Auth == "" {
			return config, usage("--zookeeper-auth-file: %s is empty", z.authFile)
		}
	}
	if err := config.Validate(); err != nil {
		return config, usageError{err}
	}
	return config, nil
}
