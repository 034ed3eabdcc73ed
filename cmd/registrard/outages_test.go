package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const traceHeader = "System,nodenum,Prob Started,Prob Fixed,Hardware,Software\n"

// Each record is replayed, or counted with the reason why not.
func TestReadOutages(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace.csv")
	write(t, name, traceHeader+
		"2,0,6/21/2005 10:54,6/21/2005 11:00,Disk,\n"+ // in order
		"2,0,6/21/2005 10:00,6/21/2005 10:54,,OS\n"+ // before it, ending where it begins
		"2,0,6/21/2005 10:55,6/21/2005 10:56,,\n"+ // within the first
		"2,,6/21/2005 10:55,6/21/2005 10:56,,\n"+
		"2,1,,6/21/2005 10:56,,\n"+
		"2,1,6/21/2005 12:00,6/21/2005 11:59,,\n"+
		"2,2,6/22/2005 0:00,,Fan,OS\n"+ // lasts
		"2,2,6/23/2005 0:00,6/23/2005 1:00,,\n"+ // within it
		"3,7,6/21/2005 10:54,6/21/2005 10:54,,\n") // over at once
	tr, err := readOutages(name)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"without a node": 1, "without a start": 1, "ending before they start": 1, "beginning within an earlier outage of the node": 2}
	if tr.records != 9 || !maps.Equal(tr.skipped, want) || len(tr.agents) != 3 {
		t.Errorf("%d records, %d agents, skipped %v", tr.records, len(tr.agents), tr.skipped)
	}
	told := func(until time.Time) (lines []string) {
		for _, e := range tr.events(until) {
			lines = append(lines, fmt.Sprint(e.agent, " ", e.at.Format("02 15:04"), " ", e.back, " ", e.reason))
		}
		return lines
	}
	all := []string{
		"2-0 21 10:00 false Software: OS", "2-0 21 10:54 true Software: OS", "2-0 21 10:54 false Hardware: Disk",
		"3-7 21 10:54 false ", "3-7 21 10:54 true ", "2-0 21 11:00 true Hardware: Disk", "2-2 22 00:00 false Hardware: Fan; Software: OS",
	}
	if got := told(time.Time{}); !slices.Equal(got, all) {
		t.Errorf("%q", got)
	}
	until, err := parseUntil("2005-06-21")
	if got := told(until); err != nil || !slices.Equal(got, all[:6]) {
		t.Errorf("until the 21st: %q, %v", got, err)
	}
}

// A row that cannot be read is named by its line.
func TestUnreadableOutages(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace.csv")
	for text, want := range map[string]string{
		"":                    "no header",
		"System,nodenum\n":    "there is no column Prob Started",
		traceHeader + "2,0\n": "wrong number of fields",
		traceHeader + "\n2,0,yesterday,6/21/2005 11:00,,\n":                     `:3: Prob Started "yesterday" is not a time`,
		traceHeader + "2,0,6/21/2005 11:00,13/1/2005 11:00,,\n":                 `:2: Prob Fixed "13/1/2005 11:00" is not a time`,
		traceHeader + "2," + strings.Repeat("9", 300) + ",6/21/2005 11:00,,,\n": `:2: id is 302 bytes`,
	} {
		write(t, name, text)
		if _, err := readOutages(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	write(t, name+".xz", "not compressed")
	if _, err := readOutages(name + ".xz"); err == nil || !strings.Contains(err.Error(), "trace.csv.xz: xz") {
		t.Errorf("%v", err)
	}
}
