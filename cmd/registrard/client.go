package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/registrard/registrard/transport/client"
)

// clientOptions is what every command has that talks to a cluster.
type clientOptions struct {
	address string
	timeout time.Duration
	output  string
	ca      string
	cert    string
	key     string
}

// talking gives a command its flags and has run called with a client, under the command's timeout; 0 is none.
func talking(c *cobra.Command, run func(ctx context.Context, t *talk, args []string) error) *cobra.Command {
	o := &clientOptions{}
	f := c.Flags()
	f.StringVar(&o.address, "address", "http://127.0.0.1:7050", "URL of any node, or several, comma separated")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to go on trying")
	f.StringVarP(&o.output, "output", "o", "table", "table for people, json for programs")
	f.StringVar(&o.ca, "ca", "", "authority of the nodes' certificates, PEM")
	f.StringVar(&o.cert, "cert", "", "certificate to show to the nodes, PEM")
	f.StringVar(&o.key, "key", "", "its key")
	environment(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.output != "table" && o.output != "json" {
			return usage("--output %q is neither table nor json", o.output)
		}
		config, err := o.tls()
		if err != nil {
			return err
		}
		addresses := strings.Split(o.address, ",")
		cl, err := client.New(client.Config{Addresses: addresses, TLS: config, AskOnly: c.Annotations["node"] != ""})
		if err != nil {
			return usageError{err}
		}
		defer cl.Close()
		ctx := c.Context()
		if c.Annotations["endless"] == "" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.timeout)
			defer cancel()
		}
		return run(ctx, &talk{Client: cl, command: c, json: o.output == "json", timeout: o.timeout, addresses: addresses, tls: config}, args)
	}
	return c
}

// reading is talking, for commands that may read stale.
func reading(c *cobra.Command, run func(ctx context.Context, t *talk, args []string) error) *cobra.Command {
	stale := c.Flags().Bool("stale", false, "read the asked node's own state, at once, even without a leader")
	return talking(c, func(ctx context.Context, t *talk, args []string) error {
		t.stale = *stale
		return run(ctx, t, args)
	})
}

// asked marks commands that are about the node at the address alone.
func asked(c *cobra.Command) *cobra.Command { return annotated(c, "node") }

// endless marks commands that end by themselves or not at all: the timeout is for each call.
func endless(c *cobra.Command) *cobra.Command { return annotated(c, "endless") }

func annotated(c *cobra.Command, name string) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[name] = "yes"
	return c
}

// talk is one command's conversation with a cluster.
type talk struct {
	*client.Client
	command *cobra.Command
	json    bool
	stale   bool
	timeout time.Duration
	// For those who connect by themselves.
	addresses []string
	tls       *tls.Config
}

// printJSON prints an answer as it came.
func (t *talk) printJSON(text []byte) error {
	_, err := t.command.OutOrStdout().Write(append([]byte(strings.TrimSpace(string(text))), '\n'))
	return err
}

// print prints a value for programs.
func (t *talk) print(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return t.printJSON(text)
}

func (o *clientOptions) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: no certificate in %s", o.ca)
		}
	}
	if (o.cert == "") != (o.key == "") {
		return nil, usage("--cert and --key belong together")
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
