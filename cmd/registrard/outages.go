package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ulikunitz/xz"

	"github.com/registrard/registrard/fsm"
)

// trace is outages of machines, as a file tells them.
type trace struct {
	records int
	agents  []fsm.AgentObject // each once, in the order of the file
	outages []outage          // of one agent none begins before the one before it has ended
	skipped map[string]int    // records that are not replayed, by why
}

// outage is one agent's absence.
type outage struct {
	agent      string
	start, end time.Time // end is zero where the file has none: it lasts
	reason     string
}

// event is one end of an outage.
type event struct {
	outage
	at   time.Time
	back bool
}

// events is everything that happens up to a time, in order; zero is no bound. What happens to one agent at the same
// moment stays in its order.
func (t *trace) events(until time.Time) []event {
	var events []event
	for _, o := range t.outages {
		events = append(events, event{o, o.start, false})
		if !o.end.IsZero() {
			events = append(events, event{o, o.end, true})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	if !until.IsZero() {
		n, _ := slices.BinarySearchFunc(events, until, func(e event, t time.Time) int {
			return cmp.Or(e.at.Compare(t), -1) // what happens at the very moment is in
		})
		events = events[:n]
	}
	return events
}

// op is what an event does to the registry.
func (e event) op(info fsm.AgentObject) fsm.Op {
	if e.back {
		return fsm.ReachAgent{Agent: info, Time: fsm.TimeOf(e.at)}
	}
	return fsm.MarkUnreachable{ID: e.agent, Time: fsm.TimeOf(e.at), Reason: e.reason}
}

// parseUntil reads a day, whose end is meant, or nothing.
func parseUntil(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, usage("--until %q is not a day such as 2001-06-30", text)
	}
	return day.AddDate(0, 0, 1).Add(-time.Nanosecond), nil
}

// The columns of a trace. Those of the causes may be missing.
const (
	columnSystem = "System"
	columnNode   = "nodenum"
	columnStart  = "Prob Started"
	columnEnd    = "Prob Fixed"
)

var columnsOfCause = []string{"Facilities", "Hardware", "Human Error", "Network", "Undetermined", "Software"}

// readOutages reads the whole file before anything is proposed: a row that cannot be read is an error that names its
// line, and changes nothing. Rows that can be read but not replayed are counted.
func readOutages(name string) (*trace, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var text io.Reader = file
	if strings.HasSuffix(name, ".xz") {
		if text, err = xz.NewReader(file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	rows := csv.NewReader(text)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no header: %w", name, err)
	}
	column := func(row []string, name string) string {
		if i := slices.Index(header, name); i >= 0 {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	for _, needed := range []string{columnSystem, columnNode, columnStart, columnEnd} {
		if !slices.Contains(header, needed) {
			return nil, fmt.Errorf("%s: there is no column %s", name, needed)
		}
	}
	t := &trace{skipped: map[string]int{}}
	outages := map[string][]outage{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err) // says the line
		}
		line, _ := rows.FieldPos(0)
		t.records++
		o := outage{agent: column(row, columnSystem) + "-" + column(row, columnNode)}
		for _, end := range []struct {
			column string
			at     *time.Time
		}{{columnStart, &o.start}, {columnEnd, &o.end}} {
			if text := column(row, end.column); text != "" {
				if *end.at, err = time.Parse("1/2/2006 15:04", text); err != nil {
					return nil, fmt.Errorf("%s:%d: %s %q is not a time such as 6/21/2005 10:54", name, line, end.column, text)
				}
			}
		}
		switch {
		case column(row, columnSystem) == "" || column(row, columnNode) == "":
			t.skipped["without a node"]++
			continue
		case o.start.IsZero():
			t.skipped["without a start"]++
			continue
		case !o.end.IsZero() && o.end.Before(o.start):
			t.skipped["ending before they start"]++
			continue
		}
		for _, cause := range columnsOfCause {
			if text := column(row, cause); text != "" {
				o.reason = strings.TrimPrefix(o.reason+"; "+cause+": "+text, "; ")
			}
		}
		if _, known := outages[o.agent]; !known {
			agent, err := nodeAgent(o.agent, column(row, "procsinnode"), column(row, "machine type"))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, line, err)
			}
			t.agents = append(t.agents, agent)
		}
		outages[o.agent] = append(outages[o.agent], o)
	}
	for _, agent := range t.agents {
		t.follow(outages[agent.ID])
	}
	return t, nil
}

// follow keeps the outages of one agent that come after each other.
func (t *trace) follow(outages []outage) {
	slices.SortStableFunc(outages, func(a, b outage) int { return a.start.Compare(b.start) })
	var last *outage
	for i := range outages {
		if last != nil && (last.end.IsZero() || outages[i].start.Before(last.end)) {
			t.skipped["beginning within an earlier outage of the node"]++
			continue
		}
		last = &outages[i]
		t.outages = append(t.outages, *last)
	}
}

// nodeAgent is a node of the trace; what its first record does not say of it is left out.
func nodeAgent(id, processors, kind string) (fsm.AgentObject, error) {
	info := fsm.AgentInfo{ID: id, Hostname: id}
	if n, err := strconv.ParseUint(processors, 10, 32); err == nil {
		info.Resources = []fsm.Resource{{Name: "cpus", Scalar: &fsm.Scalar{Value: float64(n)}}}
	}
	if kind != "" {
		info.Attributes = []fsm.Attribute{{Name: "machine_type", Text: &fsm.Text{Value: kind}}}
	}
	return info.Object()
}
