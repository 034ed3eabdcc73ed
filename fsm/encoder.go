package fsm

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// encoder writes fields as msgpack.
type encoder struct {
	*msgpack.Encoder
	room *room
}

// room is memory for the lists of fields of what is being written or read, one behind the other as they nest.
type room struct{ fields []any }

// with lists f's fields for as long as use takes.
func (r *room) with(f fielder, use func(fields ...any) error) error {
	base := len(r.fields)
	r.fields = f.fields(r.fields)
	own := r.fields[base:]
	err := use(own...)
	clear(own)
	r.fields = r.fields[:base]
	return err
}

func newEncoder(w io.Writer) encoder {
	e := msgpack.NewEncoder(w)
	e.UseCompactInts(true)
	return encoder{e, new(room)}
}

// object writes what f is.
func (e encoder) object(f fielder) error { return e.room.with(f, e.tuple) }

func (e encoder) tuple(fields ...any) error {
	if err := e.EncodeArrayLen(len(fields)); err != nil {
		return err
	}
	for _, field := range fields {
		if err := e.field(field); err != nil {
			return err
		}
	}
	return nil
}

func (e encoder) field(field any) error {
	switch v := field.(type) {
	case *string:
		return e.EncodeString(*v)
	case *Info:
		return e.EncodeString(string(*v))
	case *Kind:
		return e.EncodeString(string(*v))
	case *Code:
		return e.EncodeString(string(*v))
	case *bool:
		return e.EncodeBool(*v)
	case *uint64:
		return e.EncodeUint(*v)
	case *Phase:
		return e.EncodeUint(uint64(*v))
	case *DrainState:
		return e.EncodeUint(uint64(*v))
	case *Mode:
		return e.EncodeUint(uint64(*v))
	case *FrameworkState:
		return e.EncodeUint(uint64(*v))
	case *Time:
		return e.EncodeInt(int64(*v))
	case *Duration:
		return e.EncodeInt(int64(*v))
	case **Duration:
		if *v == nil {
			return e.EncodeNil()
		}
		return e.EncodeInt(int64(**v))
	case *float64:
		return e.EncodeFloat64(*v)
	case *[32]byte:
		return e.EncodeBytes(v[:])
	case **Drain:
		if *v == nil {
			return e.EncodeNil()
		}
		return e.object(*v)
	case *[]string:
		if err := e.EncodeArrayLen(len(*v)); err != nil {
			return err
		}
		for _, s := range *v {
			if err := e.EncodeString(s); err != nil {
				return err
			}
		}
		return nil
	case *map[string]float64:
		if err := e.EncodeArrayLen(2 * len(*v)); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(*v)) {
			if err := e.EncodeString(name); err != nil {
				return err
			}
			if err := e.EncodeFloat64((*v)[name]); err != nil {
				return err
			}
		}
		return nil
	case sequence:
		if err := e.EncodeArrayLen(v.len()); err != nil {
			return err
		}
		for i := range v.len() {
			if err := e.object(v.at(i)); err != nil {
				return err
			}
		}
		return nil
	case fielder:
		return e.object(v)
	}
	panic(fmt.Sprintf("fsm: no encoding for %T", field))
}
