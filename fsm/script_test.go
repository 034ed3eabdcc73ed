package fsm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The scripts are one story a file, to be read as transcripts. Each command is one frame, a second after the one
// before it:
//
//	apply [epoch=N] [by=who] [id=REQUEST] [seen=N] [limit=BYTES] [reign=N]
//	agent.admit {"agent":{"id":"a1","hostname":"h1"}}
//	----
//	what each operation answered, and what watchers saw
//
//	show agents|agent|frameworks|quotas|weights|maintenance|providers|members|master|needs [id=…]
//
// Rewrite what is expected with: go test ./fsm -run TestScripts -rewrite
func TestScripts(t *testing.T) {
	used := map[Kind]bool{}
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		m := newScripted()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "apply":
				return m.apply(t, d, used)
			case "show":
				return m.show(t, d)
			}
			t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
			return ""
		})
		if err := m.consistent(); err != nil {
			t.Error(err)
		}
	})
	for _, d := range Vocabulary() {
		if !used[d.Kind] {
			t.Errorf("no script uses %s: tell its story in testdata/script", d.Kind)
		}
	}
}

// wording is what the JSON package says in other words at random, so that nobody depends on it.
var wording = regexp.MustCompile(`^json: (cannot|unable to) `)

// scripted is a registry that is driven by hand.
type scripted struct {
	*Registry
	clock time.Time
}

func newScripted() *scripted {
	m := &scripted{New(), time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	frame, err := EncodeFrame(0, m.clock, Proposal{Op: AnnounceMember{ID: "n1", RaftAddr: "r1:1", HTTPAddr: "h1:1", Format: Format}})
	if err == nil {
		_, err = m.Apply(1, frame)
	}
	if err != nil {
		panic(err)
	}
	return m
}

// do applies one frame.
func (m *scripted) do(h Head, ps ...Proposal) (Result, error) {
	m.clock = m.clock.Add(time.Second)
	batch, err := Encode(ps...)
	if err != nil {
		return Result{}, err
	}
	h.At = TimeOf(m.clock)
	return m.Registry.Apply(m.State().Index()+1, Join(h, batch))
}

func (m *scripted) apply(t *testing.T, d *datadriven.TestData, used map[Kind]bool) string {
	head, proposal := Head{Reign: m.State().Reign()}, Proposal{}
	for _, arg := range d.CmdArgs {
		number := func() uint64 {
			n, err := strconv.ParseUint(arg.Vals[0], 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			return n
		}
		switch arg.Key {
		case "epoch":
			proposal.Epoch = number()
		case "by":
			proposal.By = arg.Vals[0]
		case "id":
			proposal.RequestID = arg.Vals[0]
		case "seen":
			proposal.Seen = number()
		case "limit":
			head.Limit = number()
		case "reign":
			head.Reign = number()
		default:
			t.Fatalf("%s: no argument %s", d.Pos, arg.Key)
		}
	}
	var ps []Proposal
	for line := range strings.Lines(d.Input) {
		kind, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		definition, ok := Lookup(Kind(kind))
		if !ok {
			t.Fatalf("%s: no kind %s", d.Pos, kind)
		}
		used[definition.Kind] = true
		into := definition.New()
		if err := json.Unmarshal([]byte(args), into, json.RejectUnknownMembers(true)); err != nil {
			return fmt.Sprintf("bad input: %s\n", wording.ReplaceAllString(err.Error(), ""))
		}
		p := proposal
		p.Op = definition.Op(into)
		ps = append(ps, p)
	}
	before := m.State()
	result, err := m.do(head, ps...)
	if err != nil {
		return fmt.Sprintf("bad input: %v\n", err)
	}
	var b strings.Builder
	if result.Stale {
		b.WriteString("stale\n")
	}
	for _, o := range result.Outcomes {
		switch {
		case o.Rejection != nil:
			fmt.Fprintf(&b, "rejected %s: %s\n", o.Rejection.Code, o.Rejection.Reason)
		case o.Changed:
			b.WriteString("changed\n")
		default:
			b.WriteString("unchanged\n")
		}
	}
	changes, _ := m.State().Changes(before.Index())
	for c := range changes {
		fmt.Fprintf(&b, "  %s %q", c.Kind, c.ID)
		if c.Phase != c.Was {
			fmt.Fprintf(&b, " %s -> %s", or(c.Was), or(c.Phase))
		}
		if c.By != "" {
			fmt.Fprintf(&b, " by %s", c.By)
		}
		if c.Reason != "" {
			fmt.Fprintf(&b, " (%s)", c.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func or(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (m *scripted) show(t *testing.T, d *datadriven.TestData) string {
	s := m.State()
	var b strings.Builder
	say := func(v any) {
		text, err := json.Marshal(v, json.Deterministic(true), jsontext.SpaceAfterColon(false))
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		b.Write(append(text, '\n'))
	}
	id := ""
	d.MaybeScanArgs(t, "id", &id)
	switch what := d.CmdArgs[0].Key; what {
	case "agents":
		for a := range s.AllAgents("") {
			fmt.Fprintf(&b, "%s %s", a.ID, a.Phase)
			if a.Drain != nil {
				fmt.Fprintf(&b, " %s", a.Drain.State)
			}
			if a.Deactivated {
				b.WriteString(" deactivated")
			}
			b.WriteByte('\n')
		}
	case "agent":
		a, ok := s.Agent(id)
		if !ok {
			return "unknown\n"
		}
		say(a)
	case "frameworks":
		for f := range s.Frameworks("") {
			say(f)
		}
	case "quotas":
		for q := range s.Quotas() {
			say(q)
		}
	case "weights":
		for w := range s.Weights() {
			say(w)
		}
	case "maintenance":
		if schedule, ok := s.Schedule(); ok {
			say(schedule)
		} else {
			b.WriteString("no schedule\n")
		}
		for m := range s.Machines() {
			say(m)
		}
	case "providers":
		for p := range s.Providers(false) {
			say(p)
		}
		for p := range s.Providers(true) {
			b.WriteString("removed ")
			say(p)
		}
	case "members":
		fmt.Fprintf(&b, "format %d\n", s.Format())
		for m := range s.Members() {
			say(m)
		}
	case "master":
		fmt.Fprintf(&b, "epoch %d\n", s.Epoch())
		if master, ok := s.Master(); ok {
			say(master)
		}
	case "needs":
		fmt.Fprintf(&b, "%v\n", s.MinimumCapabilities())
	default:
		t.Fatalf("%s: nothing to show called %s", d.Pos, what)
	}
	return b.String()
}
