package fsm

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
)

// Resource is so much of something: exactly one of Scalar, Ranges and Set, which Type names. An empty Type is
// the one that is there, an empty Role is "*".
type Resource struct {
	Name   string  `json:"name"`
	Type   string  `json:"type,omitempty"`
	Role   string  `json:"role,omitempty"`
	Scalar *Scalar `json:"scalar,omitempty"`
	Ranges *Ranges `json:"ranges,omitempty"`
	Set    *Set    `json:"set,omitempty"`
}

// Attribute is a property by name: exactly one of Scalar, Ranges, Set and Text.
type Attribute struct {
	Name   string  `json:"name"`
	Type   string  `json:"type,omitempty"`
	Scalar *Scalar `json:"scalar,omitempty"`
	Ranges *Ranges `json:"ranges,omitempty"`
	Set    *Set    `json:"set,omitempty"`
	Text   *Text   `json:"text,omitempty"`
}

// The values that resources and attributes take.
type (
	// Scalar is a number, kept to three decimal digits as Mesos does.
	Scalar struct {
		Value float64 `json:"value"`
	}
	// Ranges is a set of whole numbers; touching and overlapping ranges are joined.
	Ranges struct {
		Range []Range `json:"range,omitempty"`
	}
	// Range is begin to end, both included.
	Range struct {
		Begin uint64 `json:"begin"`
		End   uint64 `json:"end"`
	}
	// Set is a set of names.
	Set struct {
		Item []string `json:"item,omitempty"`
	}
	// Text is any text.
	Text struct {
		Value string `json:"value"`
	}
)

func canonicalResources(given []Resource) ([]Resource, error) {
	sorted := slices.Clone(given)
	for n := range sorted {
		r := &sorted[n]
		if r.Role == "" {
			r.Role = "*"
		}
		values, err := canonicalValues(values{r.Scalar, r.Ranges, r.Set, nil}, &r.Type)
		if err = cmp.Or(checkID("name", r.Name), checkRole(r.Role), checkText("role", r.Role, MaxID), err); err != nil {
			return nil, fmt.Errorf("resources[%d]: %w", n, err)
		}
		r.Scalar, r.Ranges, r.Set = values.scalar, values.ranges, values.set
	}
	slices.SortStableFunc(sorted, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Type, b.Type))
	})
	summed := sorted[:0] // never ahead of what is read
	for _, r := range sorted {
		if n := len(summed); n > 0 && summed[n-1].Name == r.Name && summed[n-1].Role == r.Role && summed[n-1].Type == r.Type {
			summed[n-1].add(r)
		} else {
			summed = append(summed, r)
		}
	}
	return slices.DeleteFunc(summed, Resource.empty), nil
}

// add joins two resources of one name, type and role.
func (r *Resource) add(o Resource) {
	switch {
	case r.Scalar != nil:
		r.Scalar = &Scalar{thousandths(r.Scalar.Value + o.Scalar.Value)}
	case r.Ranges != nil:
		r.Ranges = &Ranges{joinRanges(append(slices.Clone(r.Ranges.Range), o.Ranges.Range...))}
	case r.Set != nil:
		r.Set = &Set{joinItems(append(slices.Clone(r.Set.Item), o.Set.Item...))}
	}
}

// empty resources are as good as absent ones.
func (r Resource) empty() bool {
	return r.Scalar != nil && r.Scalar.Value == 0 || r.Ranges != nil && len(r.Ranges.Range) == 0 || r.Set != nil && len(r.Set.Item) == 0
}

func canonicalAttributes(given []Attribute) ([]Attribute, error) {
	sorted := slices.Clone(given)
	for n := range sorted {
		a := &sorted[n]
		values, err := canonicalValues(values{a.Scalar, a.Ranges, a.Set, a.Text}, &a.Type)
		if err = cmp.Or(checkID("name", a.Name), err); err != nil {
			return nil, fmt.Errorf("attributes[%d]: %w", n, err)
		}
		a.Scalar, a.Ranges, a.Set, a.Text = values.scalar, values.ranges, values.set, values.text
	}
	slices.SortFunc(sorted, func(a, b Attribute) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.text(), b.text()))
	})
	return sorted, nil
}

// text orders attributes of one name and type.
func (a Attribute) text() string {
	text, _ := json.Marshal(a) // has no part that could fail
	return string(text)
}

// values is what a resource or attribute may be given.
type values struct {
	scalar *Scalar
	ranges *Ranges
	set    *Set
	text   *Text
}

// canonicalValues holds the one value that is there to its rules, and names its type.
func canonicalValues(v values, named *string) (values, error) {
	var types []string
	if v.scalar != nil {
		types = append(types, "SCALAR")
		value := v.scalar.Value
		if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
			return v, fmt.Errorf("scalar %v is not a number from 0 on", value)
		}
		v.scalar = &Scalar{thousandths(value)}
	}
	if v.ranges != nil {
		types = append(types, "RANGES")
		for _, r := range v.ranges.Range {
			if r.Begin > r.End {
				return v, fmt.Errorf("range %d-%d ends before it begins", r.Begin, r.End)
			}
		}
		v.ranges = &Ranges{joinRanges(slices.Clone(v.ranges.Range))}
	}
	if v.set != nil {
		types = append(types, "SET")
		if err := checkIDs("set.item", v.set.Item); err != nil {
			return v, err
		}
		v.set = &Set{joinItems(slices.Clone(v.set.Item))}
	}
	if v.text != nil {
		types = append(types, "TEXT")
		if err := checkText("text", v.text.Value, math.MaxInt); err != nil {
			return v, err
		}
	}
	if len(types) != 1 {
		return v, fmt.Errorf("has %d values where one is due", len(types))
	}
	if *named != "" && *named != types[0] {
		return v, fmt.Errorf("type %q does not go with a value of type %s", *named, types[0])
	}
	*named = types[0]
	return v, nil
}

// thousandths rounds to three decimal digits, where a double has that many.
func thousandths(v float64) float64 {
	if v >= 1<<43 {
		return v
	}
	return math.Round(v*1000) / 1000
}

// joinRanges sorts in place and joins ranges that touch or overlap.
func joinRanges(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.Begin, b.Begin) })
	var joined []Range
	for _, r := range ranges {
		if n := len(joined); n > 0 && (joined[n-1].End == math.MaxUint64 || r.Begin <= joined[n-1].End+1) {
			joined[n-1].End = max(joined[n-1].End, r.End)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// joinItems sorts in place and takes out repeats.
func joinItems(items []string) []string {
	slices.Sort(items)
	return slices.Compact(items)
}
