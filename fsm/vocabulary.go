package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// vocabulary is every operation, one line each. Adding one is its struct and its line here; the tests are red
// until it has a script, a golden frame and a section in docs/operations.md. A kind that is given up stays as
// a name never to be used again.
var vocabulary = []Definition{
	define[AdmitAgent](open),
	define[UpdateAgent](open),
	define[ReachAgent](open),
	define[MarkUnreachable](open),
	define[MarkGone](open),
	define[RemoveAgent](open),
	define[PruneAgents](open),
	define[DrainAgent](open),
	define[MarkDrained](open),
	define[DeactivateAgent](open),
	define[ReactivateAgent](open),
	define[ScheduleMaintenance](open),
	define[StartMaintenance](open),
	define[StopMaintenance](open),
	define[UpdateQuota](open),
	define[UpdateWeights](open),
	define[AdmitProvider](open),
	define[RemoveProvider](open),
	define[AdmitFramework](open),
	define[UpdateFramework](open),
	define[ConnectFramework](open),
	define[DisconnectFramework](open),
	define[CompleteFramework](open),
	define[PruneFrameworks](open),
	define[ClaimMastership](own),
	define[ResignMastership](own),
	define[AnnounceMember](own),
	define[ForgetMember](own),
	define[RaiseFormat](own),
	define[Checkpoint](own),
}

const (
	open = true  // anybody may propose it
	own  = false // only the registrar's own duties do
)

// Definition is one operation of the vocabulary.
type Definition struct {
	Kind Kind
	// Public says whether it may come from outside as an operation. The others are proposed by the members
	// themselves, after checks that the machine cannot make.
	Public bool
	// Args lists its arguments in order.
	Args []Arg
	// New returns a pointer to the operation's zero value, to decode JSON arguments into; Op turns that
	// pointer into the Op.
	New func() any
	Op  func(pointer any) Op

	encode func(encoder, Op) error
	decode func(decoder) (Op, error)
}

// Arg is one argument of an operation.
type Arg struct {
	Name     string // in JSON
	Type     string // string, bool, number, time, duration, list or object
	Optional bool
}

// Vocabulary lists every operation in the order of the documentation. Callers must not modify it.
func Vocabulary() []Definition { return vocabulary }

// Lookup finds an operation by its kind.
func Lookup(k Kind) (Definition, bool) {
	d, ok := byKind[k]
	return d, ok
}

var byKind = func() map[Kind]Definition {
	m := make(map[Kind]Definition, len(vocabulary))
	for _, d := range vocabulary {
		if _, twice := m[d.Kind]; twice {
			panic("fsm: two operations of kind " + string(d.Kind))
		}
		m[d.Kind] = d
	}
	return m
}()

// Check says what is wrong with an operation whatever the State. What passes may still be refused.
func Check(op Op) error { return op.check() }

func define[T Op, P interface {
	*T
	fielder
}](public bool) Definition {
	var zero T
	return Definition{
		Kind:   zero.Kind(),
		Public: public,
		Args:   arguments(reflect.TypeFor[T]()),
		New:    func() any { return new(T) },
		Op:     func(pointer any) Op { return *pointer.(*T) },
		encode: func(e encoder, op Op) error {
			value, ok := op.(T)
			if !ok {
				return fmt.Errorf("%T is not the operation of kind %s", op, zero.Kind())
			}
			return e.object(P(&value))
		},
		decode: func(d decoder) (Op, error) {
			var value T
			err := d.object(P(&value))
			return value, err
		},
	}
}

// arguments reads the JSON names of a struct's fields.
func arguments(t reflect.Type) []Arg {
	var args []Arg
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		args = append(args, Arg{
			Name:     name,
			Type:     argumentType(field.Type),
			Optional: slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" }),
		})
	}
	return args
}

func argumentType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Time]():
		return "time"
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case t.Kind() == reflect.Pointer:
		return argumentType(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Bool:
		return "bool"
	case t.Kind() == reflect.String && t != reflect.TypeFor[Info]():
		return "string"
	case t.Kind() == reflect.Uint64 || t.Kind() == reflect.Float64:
		return "number"
	}
	return "object"
}
