package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation is something that must not be.
type Violation struct {
	Checker string
	What    string
}

func (v Violation) String() string { return v.Checker + ": " + v.What }

func violation(checker, format string, args ...any) Violation {
	return Violation{checker, fmt.Sprintf(format, args...)}
}

// Evidence is all that a run has left.
type Evidence struct {
	Calls    []Call
	Log      []Change // from the first index on
	Streams  []Stream
	Replicas *Replicas // may be nil
}

// Check lets every checker look at the evidence.
func Check(e Evidence) (violations []Violation) {
	violations = slices.Concat(Linearizable(e.Calls), RealTime(e.Calls), Monotonic(e.Calls), Ledger(e.Calls, e.Log),
		Repeats(e.Calls), Reads(e.Calls, e.Log), Fenced(e.Calls, e.Log))
	for _, s := range e.Streams {
		violations = append(violations, Watched(s, e.Log)...)
	}
	if e.Replicas != nil {
		violations = append(violations, e.Replicas.Differences()...)
	}
	return violations
}

// Count is how many calls had which answer.
func Count(calls []Call) (yes, no, perhaps int) {
	for i := range calls {
		switch calls[i].Answer {
		case Yes:
			yes++
		case No:
			no++
		default:
			perhaps++
		}
	}
	return yes, no, perhaps
}

// Outage is the longest time in which no operation was acknowledged, from the first acknowledgement to the last.
func Outage(calls []Call) (longest time.Duration) {
	var acknowledged []time.Duration
	for i := range calls {
		if c := &calls[i]; c.Answer == Yes && c.Kind != Read {
			acknowledged = append(acknowledged, c.At+c.Took)
		}
	}
	slices.Sort(acknowledged)
	for i := 1; i < len(acknowledged); i++ {
		longest = max(longest, acknowledged[i]-acknowledged[i-1])
	}
	return longest
}

// describe tells of calls, for people.
func describe(calls ...*Call) string {
	var b strings.Builder
	for _, c := range slices.SortedStableFunc(slices.Values(calls), func(a, b *Call) int { return cmp.Compare(a.Began, b.Began) }) {
		ended := "never"
		if c.Ended != Never {
			ended = fmt.Sprint(c.Ended)
		}
		fmt.Fprintf(&b, "  [%d, %s] client %d: %s %s", c.Began, ended, c.Client, c.Kind, c.Agent)
		for _, part := range []string{c.Value, c.Terms, c.RequestID, c.Session} {
			if part != "" {
				b.WriteString(" " + part)
			}
		}
		if c.Epoch != 0 {
			fmt.Fprintf(&b, " epoch %d", c.Epoch)
		}
		fmt.Fprintf(&b, " -> %s %s", c.Answer, c.Outcome)
		if c.Outcome == Found {
			fmt.Fprintf(&b, " %+v", c.Found)
		}
		if c.Answer == Yes {
			fmt.Fprintf(&b, " at %d", c.Index)
		}
		b.WriteString("\n")
	}
	return b.String()
}
