package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variable is the environment variable of a flag: --http-addr is REGISTRARD_HTTP_ADDR.
func variable(flag string) string {
	return "REGISTRARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environment gives every flag of a command its variable, which counts where the flag is not given. Help shows
// the variable.
func environment(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" {
			f.Usage += " [" + variable(f.Name) + "]"
		}
	})
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		var err error
		c.Flags().VisitAll(func(f *pflag.Flag) {
			value, set := os.LookupEnv(variable(f.Name))
			if !set || f.Changed || err != nil {
				return
			}
			if bad := c.Flags().Set(f.Name, value); bad != nil {
				err = usageError{fmt.Errorf("%s: %w", variable(f.Name), bad)}
			}
		})
		if err != nil || before == nil {
			return err
		}
		return before(c, args)
	}
}
