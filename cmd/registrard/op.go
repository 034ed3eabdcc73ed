package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/registrard/registrard/fsm"
	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/transport/httpapi/wire"
)

func opCommand() *cobra.Command {
	var file, requestID string
	var epoch uint64
	c := &cobra.Command{
		Use:   "op KIND [key=value …] | op --file F|-",
		Short: "Propose one operation, or many from a file",
		Long: `Propose one operation, or many from a file with one JSON object a line:
  {"kind":"agent.drain","args":{"id":"a1","mark_gone":true},"request_id":"optional"}

Arguments are key=value; of objects, parts may be given (agent.id=a1 agent.hostname=h1), and lists and
objects may be JSON. After a rejection the file goes on, and the exit status is 1.

` + kinds(),
		Example: `  registrard op agent.admit agent.id=a1 agent.hostname=node-1
  registrard op agent.drain id=a1 max_grace_period=10m mark_gone=true
  registrard op quota.update quotas='[{"role":"web","limits":{"cpus":120}}]'`,
	}
	c.Flags().StringVar(&file, "file", "", "read operations from this file, - for the standard input")
	c.Flags().StringVar(&requestID, "request-id", "", "makes repeating the command safe (default: a random one)")
	c.Flags().Uint64Var(&epoch, "epoch", 0, "a master's fencing token")
	endless(c)
	return talking(c, func(ctx context.Context, t *talk, args []string) error {
		switch {
		case file != "" && len(args) > 0:
			return usage("an operation and --file exclude each other")
		case file != "":
			return t.proposeFile(ctx, file, epoch)
		case len(args) == 0:
			return usage("which operation? See 'registrard op --help' for the kinds")
		}
		operation, err := parseOperation(args)
		if err != nil {
			return err
		}
		operation.RequestID = requestID
		return t.proposeOne(ctx, operation, epoch)
	})
}

// kinds lists the vocabulary for the help.
func kinds() string {
	var b strings.Builder
	b.WriteString("Kinds:\n")
	for _, d := range fsm.Vocabulary() {
		if !d.Public {
			continue
		}
		fmt.Fprintf(&b, "  %-24s", d.Kind)
		for _, arg := range d.Args {
			if arg.Optional {
				fmt.Fprintf(&b, " [%s]", arg.Name)
			} else {
				fmt.Fprintf(&b, " %s", arg.Name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// parseOperation reads KIND key=value …
func parseOperation(args []string) (wire.Operation, error) {
	d, ok := fsm.Lookup(fsm.Kind(args[0]))
	if !ok || !d.Public {
		return wire.Operation{}, usage("unknown kind %q; 'registrard op --help' lists them", args[0])
	}
	types := map[string]string{}
	for _, arg := range d.Args {
		types[arg.Name] = arg.Type
	}
	values := map[string]any{}
	for _, text := range args[1:] {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return wire.Operation{}, usage("%q is not key=value", text)
		}
		name, part, nested := strings.Cut(key, ".")
		kind, ok := types[name]
		if !ok {
			return wire.Operation{}, usage("%s has no argument %q", d.Kind, name)
		}
		if !nested {
			if _, twice := values[name]; twice {
				return wire.Operation{}, usage("%s is given twice", name)
			}
			values[name] = plain(kind, value)
			continue
		}
		object, ok := values[name].(map[string]any)
		if kind != "object" || values[name] != nil && !ok {
			return wire.Operation{}, usage("%s has no part %q", name, part)
		}
		if object == nil {
			object = map[string]any{}
			values[name] = object
		}
		object[part] = plain("object", value)
	}
	text, err := json.Marshal(values, json.Deterministic(true))
	return wire.Operation{Kind: d.Kind, Args: text}, err
}

// plain reads one value by its argument's type. What does not fit is sent as a string, and the server says why
// it will not have it.
func plain(kind, value string) any {
	raw := jsontext.Value(value)
	switch isJSON := raw.IsValid(); {
	case kind == "list" && !isJSON:
		return strings.Split(value, ",")
	case kind != "string" && kind != "time" && kind != "duration" && isJSON:
		return raw
	}
	return value
}

func (t *talk) proposeOne(ctx context.Context, operation wire.Operation, epoch uint64) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	answer, err := t.Operations(ctx, wire.Operations{Operations: []wire.Operation{operation}, Epoch: epoch})
	if err != nil {
		return err
	}
	outcome := answer.Results[0]
	if t.json {
		if err := t.print(answer); err != nil {
			return err
		}
	} else if outcome.Outcome != "rejected" {
		t.command.Printf("%s at index %d\n", outcome.Outcome, answer.Index)
	}
	if outcome.Outcome == "rejected" {
		return fmt.Errorf("%s rejected (%s): %s", operation.Kind, outcome.Code, outcome.Message)
	}
	return nil
}

// fileBatch is how many operations of a file go into one request.
const fileBatch = 500

func (t *talk) proposeFile(ctx context.Context, name string, epoch uint64) error {
	in := t.command.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	p := &proposing{talk: t, name: name, epoch: epoch}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		p.line++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		operation, err := parseLine(lines.Bytes())
		if err != nil {
			p.say("%v", err)
			p.failed++
			continue
		}
		if err := p.add(ctx, operation); err != nil {
			return err
		}
	}
	if err := errors.Join(lines.Err(), p.flush(ctx)); err != nil {
		return err
	}
	return p.end()
}

// parseLine reads one operation and holds it to all that can be known of it here.
func parseLine(text []byte) (wire.Operation, error) {
	var operation wire.Operation
	if err := json.Unmarshal(text, &operation, json.RejectUnknownMembers(true)); err != nil {
		return operation, errors.New(wire.Explain("", err))
	}
	d, ok := fsm.Lookup(operation.Kind)
	if !ok || !d.Public {
		return operation, fmt.Errorf("unknown kind %q", operation.Kind)
	}
	if len(operation.Args) == 0 {
		operation.Args = jsontext.Value("{}")
	}
	into := d.New()
	if err := json.Unmarshal(operation.Args, into, json.RejectUnknownMembers(true)); err != nil {
		return operation, errors.New(wire.Explain(string(operation.Kind), err))
	}
	if err := fsm.Check(d.Op(into)); err != nil {
		return operation, fmt.Errorf("%s: %w", operation.Kind, err)
	}
	operation.Args = operation.Args.Clone()
	return operation, nil
}

// proposing is a file on its way.
type proposing struct {
	*talk
	name  string
	epoch uint64
	line  int

	batch []wire.Operation
	lines []int // of the batch

	changed, unchanged, rejected, failed int
}

func (p *proposing) say(format string, args ...any) {
	p.sayAt(p.line, format, args...)
}

func (p *proposing) sayAt(line int, format string, args ...any) {
	p.command.PrintErrf("%s:%d: %s\n", p.name, line, fmt.Sprintf(format, args...))
}

func (p *proposing) add(ctx context.Context, operation wire.Operation) error {
	p.batch, p.lines = append(p.batch, operation), append(p.lines, p.line)
	if len(p.batch) < fileBatch {
		return nil
	}
	return p.flush(ctx)
}

func (p *proposing) flush(ctx context.Context) error {
	if len(p.batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	answer, err := p.Operations(ctx, wire.Operations{Operations: p.batch, Epoch: p.epoch})
	if err != nil {
		if errors.Is(err, log.ErrUncertain) {
			return fmt.Errorf("lines %d to %d perhaps happened: %w", p.lines[0], p.lines[len(p.lines)-1], err)
		}
		return fmt.Errorf("lines %d to %d did not happen: %w", p.lines[0], p.lines[len(p.lines)-1], err)
	}
	for i, outcome := range answer.Results {
		switch outcome.Outcome {
		case "changed":
			p.changed++
		case "unchanged":
			p.unchanged++
		default:
			p.rejected++
			p.sayAt(p.lines[i], "%s rejected (%s): %s", p.batch[i].Kind, outcome.Code, outcome.Message)
		}
	}
	p.batch, p.lines = p.batch[:0], p.lines[:0]
	return nil
}

// end sums up.
func (p *proposing) end() error {
	if p.json {
		err := p.print(map[string]int{"changed": p.changed, "unchanged": p.unchanged, "rejected": p.rejected, "invalid": p.failed})
		if err != nil {
			return err
		}
	} else {
		p.command.Printf("%d changed, %d unchanged, %d rejected, %d invalid\n", p.changed, p.unchanged, p.rejected, p.failed)
	}
	if p.rejected+p.failed > 0 {
		return errSaid
	}
	return nil
}
