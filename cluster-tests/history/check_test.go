package history

import (
	"slices"
	"testing"
	"time"
)

// named are the checkers that complain.
func named(violations []Violation) (names []string) {
	for _, v := range violations {
		if !slices.Contains(names, v.Checker) {
			names = append(names, v.Checker)
		}
	}
	slices.Sort(names)
	return names
}

// What an honest registry answers is never complained of, however answers overlap and get lost.
func TestHonestWorld(t *testing.T) {
	perhaps := 0
	for seed := range uint64(20) {
		e := newWorld(seed, lies{}).run(1000)
		for _, v := range Check(e) {
			t.Errorf("seed %d: %s", seed, v)
		}
		_, _, p := Count(e.Calls)
		perhaps += p
	}
	if perhaps == 0 {
		t.Error("no answer was lost: the test has shown nothing")
	}
}

// Each lie is found by the checkers that are there for it, on whatever seed.
func TestLies(t *testing.T) {
	for _, c := range []struct {
		name string
		lies lies
		by   string
	}{
		{"reads of an old state", lies{stale: 20}, "linearizability"},
		{"reads of an old state", lies{stale: 20}, "real time"},
		{"a repeat applied again", lies{twice: 50}, "request ids"},
		{"a repeat applied again", lies{twice: 50}, "truth"},
		{"acknowledged and lost", lies{lost: 5}, "durability"},
		{"acknowledged and lost", lies{lost: 5}, "linearizability"},
		{"a no that happened", lies{no: 100}, "truth"},
		{"a no that happened", lies{no: 100}, "linearizability"},
		{"old epochs obeyed", lies{epoch: 50}, "fencing"},
		{"another outcome than the true one", lies{otherwise: 5}, "linearizability"},
	} {
		for seed := range uint64(5) {
			if found := named(Check(newWorld(seed, c.lies).run(3000))); !slices.Contains(found, c.by) {
				t.Errorf("%s, seed %d: found by %v, and not by %s", c.name, seed, found, c.by)
			}
		}
	}
}

// A stream that lacks, repeats, swaps or invents a change is named, and so is one that stopped.
func TestWatchers(t *testing.T) {
	log := newWorld(1, lies{}).run(500).Log
	until := log[len(log)-1].Index
	after := log[9].Index
	good := slices.Clone(log[10:])
	if v := Watched(Stream{"w", after, until, good}, log); len(v) > 0 {
		t.Fatal(v)
	}
	swapped := slices.Clone(good)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	foreign := slices.Clone(good)
	foreign[7].Phase = "neverland"
	for name, changes := range map[string][]Change{
		"gap":      slices.Delete(slices.Clone(good), 5, 6),
		"repeat":   slices.Insert(slices.Clone(good), 5, good[5]),
		"again":    slices.Concat(good[:9], good[5:]),
		"swapped":  swapped,
		"other":    foreign,
		"stopped":  good[:20],
		"nothing":  nil,
		"one more": append(slices.Clone(good), Change{Index: until + 1}),
	} {
		if v := Watched(Stream{"w", after, until, changes}, log); len(v) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

func TestSessionsThatGoBack(t *testing.T) {
	h := New()
	for _, index := range []uint64{3, 5, 5, 4} {
		c := h.Begin(Call{Kind: Read, Agent: "a", Session: "c1 n1"})
		h.End(c, func(c *Call) { c.Answer, c.Outcome, c.Index = Yes, NotFound, index })
	}
	if found := named(Check(Evidence{Calls: h.Calls()})); !slices.Equal(found, []string{"monotonic reads"}) {
		t.Errorf("found %v", found)
	}
}

// A stale read may be old; it may not be wrong.
func TestReadsThatAreWrong(t *testing.T) {
	log := []Change{{Index: 3, Kind: "agent.admit", ID: "a", Phase: "admitted", Last: true}, {Index: 9, Kind: "agent.gone", ID: "a", Phase: "gone", Was: "admitted", Last: true}}
	read := func(index uint64, phase string) []Call {
		return []Call{{Kind: Read, Agent: "a", Session: "s", Answer: Yes, Index: index, Outcome: Found, Found: Agent{Phase: phase}}}
	}
	for index, phase := range map[uint64]string{2: "", 3: "admitted", 8: "admitted", 9: "gone", 20: "gone"} {
		if v := Reads(read(index, phase), log); len(v) > 0 {
			t.Error(v)
		}
	}
	for index, phase := range map[uint64]string{2: "admitted", 3: "", 8: "gone", 9: "admitted"} {
		if v := Reads(read(index, phase), log); len(v) == 0 {
			t.Errorf("%s at %d: nothing was found", phase, index)
		}
	}
}

func TestEpochsGrantedTwiceOrRefusedWrongly(t *testing.T) {
	log := []Change{{Index: 2, Kind: "master.claim"}, {Index: 6, Kind: "master.claim"}}
	claim := Call{Kind: Claim, Epoch: 1, Answer: Yes, Index: 2}
	if v := Fenced([]Call{claim, claim}, log); len(v) != 1 {
		t.Errorf("granted twice: %v", v)
	}
	refused := Call{Kind: "agent.gone", Agent: "a", Epoch: 1, Answer: Yes, Outcome: "superseded", Index: 4}
	if v := Fenced([]Call{refused}, log); len(v) != 1 {
		t.Errorf("refused while it was the current one: %v", v)
	}
	refused.Index = 7
	if v := Fenced([]Call{refused}, log); len(v) != 0 {
		t.Error(v)
	}
}

func TestReplicasThatDiffer(t *testing.T) {
	var r Replicas
	r.Saw("n1", 4, "d", "c")
	r.Saw("n2", 4, "d", "c")
	r.Saw("n2", 5, "d", "e")
	if r.Compared() != 1 || len(r.Differences()) != 0 {
		t.Errorf("%d compared, %v", r.Compared(), r.Differences())
	}
	r.Saw("n3", 5, "d", "f")
	if len(Check(Evidence{Replicas: &r})) != 1 {
		t.Error("nothing was found")
	}
}

func TestOutage(t *testing.T) {
	at := func(ms ...int) (calls []Call) {
		for _, m := range ms {
			calls = append(calls, Call{Answer: Yes, Kind: "agent.admit", At: time.Duration(m) * time.Millisecond})
		}
		return append(calls, Call{Kind: "agent.admit", At: time.Hour}, Call{Answer: Yes, Kind: Read, At: time.Minute})
	}
	if got := Outage(at(30, 10, 500, 520)); got != 470*time.Millisecond {
		t.Error(got)
	}
}
