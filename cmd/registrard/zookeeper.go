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
	z.placeFlags(f)
	f.BoolVar(&z.worldReadable, "zookeeper-world-readable", false, "let anybody read the nodes nevertheless")
	f.DurationVar(&z.session, "zookeeper-session", 0, "silence after which the ensemble takes a member for dead (default 6s)")
}

// placeFlags are those of who only reads.
func (z *zookeeperOptions) placeFlags(f *pflag.FlagSet) {
	f.StringVar(&z.servers, "zookeeper", "", "servers of the ensemble, HOST:PORT,..., and where below, /registrard unless given: HOST:PORT,.../PATH")
	f.StringVar(&z.authFile, "zookeeper-auth-file", "", "file with USER:PASSWORD for ZooKeeper's digest scheme; all nodes are then that user's alone")
}

// checkZooKeeper refuses what does not say where the log on ZooKeeper is, and what says it of another backend.
func (o serverOptions) checkZooKeeper() error {
	if o.backend == backendZooKeeper {
		_, err := o.zookeeperLog(nil)
		return err
	}
	if o.zookeeper != (zookeeperOptions{}) {
		return usage("--zookeeper and what begins with it go with --log zookeeper")
	}
	return nil
}

// zookeeperLog is how to open the log on ZooKeeper.
func (o serverOptions) zookeeperLog(logger hclog.Logger) (zklog.Config, error) {
	if o.zookeeper.servers == "" {
		return zklog.Config{}, usage("--zookeeper is required")
	}
	config, err := o.zookeeperPlace()
	if err != nil {
		return config, err
	}
	config.WorldReadable, config.SessionTimeout = o.zookeeper.worldReadable, o.zookeeper.session
	config.SnapshotBytes, config.Logger = uint64(o.snapshotBytes), logger
	if err := config.Validate(); err != nil {
		return config, usageError{err}
	}
	return config, nil
}

// zookeeperPlace is where the log on ZooKeeper is; the servers may be left out where the directory knows them.
func (o serverOptions) zookeeperPlace() (config zklog.Config, err error) {
	z := o.zookeeper
	config = zklog.Config{ID: o.id, Dir: o.dataDir}
	if z.servers != "" {
		if config.Servers, config.Root, err = zklog.ParseServers(z.servers); err != nil {
			return config, usage("--zookeeper: %w", err)
		}
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
	return config, nil
}
