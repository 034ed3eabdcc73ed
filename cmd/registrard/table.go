package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/registrard/registrard/fsm"
)

// table writes rows in columns.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// when is a time to the second, in UTC.
func when(t fsm.Time) string {
	if t == 0 {
		return ""
	}
	return t.Time().Format(time.RFC3339)
}

// working is what an agent is told about work.
func working(a *fsm.Agent) string {
	switch {
	case a.Drain != nil && a.Drain.MarkGone:
		return a.Drain.State.String() + ", then gone"
	case a.Drain != nil:
		return a.Drain.State.String()
	case a.Deactivated:
		return "deactivated"
	}
	return ""
}

// parts is the little that a table shows of an agent's info.
type parts struct {
	Hostname  string         `json:"hostname"`
	Port      int            `json:"port"`
	Resources []fsm.Resource `json:"resources"`
}

func partsOf(info fsm.Info) (p parts) {
	_ = json.Unmarshal([]byte(info), &p) // what is not there is not shown
	return p
}

// resources is a short form: cpus 32, mem 128000.
func (p parts) resources() string {
	var texts []string
	for _, r := range p.Resources {
		switch {
		case r.Scalar != nil:
			texts = append(texts, r.Name+" "+number(r.Scalar.Value))
		case r.Ranges != nil:
			var ranges []string
			for _, x := range r.Ranges.Range {
				ranges = append(ranges, fmt.Sprintf("%d-%d", x.Begin, x.End))
			}
			texts = append(texts, r.Name+" "+strings.Join(ranges, ","))
		case r.Set != nil:
			texts = append(texts, r.Name+" {"+strings.Join(r.Set.Item, ",")+"}")
		}
	}
	return strings.Join(texts, ", ")
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// amounts is cpus 40, mem 1024 in the order of the names.
func amounts(m map[string]float64) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		texts = append(texts, name+" "+number(m[name]))
	}
	return strings.Join(texts, ", ")
}
