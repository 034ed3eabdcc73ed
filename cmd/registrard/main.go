package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/log"
)

// The exit statuses.
const (
	exitDone      = 0 // done, also when there was nothing to change
	exitFailed    = 1 // refused or failed
	exitUsage     = 2 // the command line is wrong
	exitUncertain = 3 // nobody can say whether it happened
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to end in order; after it, the second one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: arguments in, exit status out.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "registrard: %v\nSee '%s --help'.\n", err, command.CommandPath())
		return exitUsage
	case errors.Is(err, errSaid):
	default:
		fmt.Fprintf(errOut, "registrard: %v\n", err)
	}
	if errors.Is(err, log.ErrUncertain) {
		return exitUncertain
	}
	return exitFailed
}

// usageError is a command line that is wrong.
type usageError struct{ error }

// usage makes an error of the caller's command line.
func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid: what went wrong is on the error stream already.
var errSaid = errors.New("failed")

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "registrard",
		Short:         "The registry of a cluster's agents, replicated",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          arguments(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("registrard {{.Version}}\n")
	root.AddGroup(&cobra.Group{ID: "serve", Title: "Serve:"}, &cobra.Group{ID: "write", Title: "Write:"}, &cobra.Group{ID: "read", Title: "Read:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("serve", devCommand(), serveCommand(), restoreCommand(), recoverCommand(), demoCommand(), benchCommand())
	add("write", opCommand(), loadCommand(), removalsCommand(), membersCommand())
	add("read", agentsCommand(), agentCommand(), registryCommand(), frameworksCommand(), quotasCommand(), weightsCommand(),
		maintenanceCommand(), masterCommand(), watchCommand(), statusCommand(), backupCommand(), inspectCommand())
	root.AddCommand(benchNodeCommand())
	return root
}

// arguments makes usage errors of a command's complaints about its arguments.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version, revision, modified := info.Main.Version, "", false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case "vcs.modified":
			modified = setting.Value == "true"
		}
	}
	if version == "(devel)" || version == "" {
		version = "devel"
		if revision != "" {
			version += "-" + revision
		}
		if modified {
			version += "-modified"
		}
	}
	return version
}
