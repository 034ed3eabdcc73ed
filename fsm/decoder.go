package fsm

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// decoder reads what encoder wrote and is stricter than msgpack: no nil where a value belongs, no array that
// claims more elements than its bytes could hold.
type decoder struct {
	*msgpack.Decoder
	// left returns an upper bound of the bytes still to come.
	left  func() int
	texts *texts
	room  *room
}

// newDecoder reads from r, which must implement io.ByteScanner so that nothing is read ahead.
func newDecoder(r io.Reader, left func() int, t *texts) decoder {
	return decoder{msgpack.NewDecoder(r), left, t, new(room)}
}

// object reads what f is.
func (d decoder) object(f fielder) error { return d.room.with(f, d.tuple) }

// texts makes strings. The short ones that were made lately are used again: a million records say the same of who
// asked and why.
type texts struct {
	buf    []byte
	lately [64]string
}

const shortText = 32

func (t *texts) string() string {
	b := t.buf
	if len(b) == 0 || len(b) > shortText {
		return string(b)
	}
	place := &t.lately[(len(b)*7+int(b[0])*5+int(b[len(b)-1])*3)%len(t.lately)]
	if *place != string(b) {
		*place = string(b)
	}
	return *place
}

// length reads an array's length; every element takes a byte at least.
func (d decoder) length() (int, error) {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return 0, err
	}
	if n < 0 || n > d.left() {
		return 0, fmt.Errorf("an array of %d elements does not fit", n)
	}
	return n, nil
}

func (d decoder) tuple(fields ...any) error {
	n, err := d.length()
	if err != nil {
		return err
	}
	if n > len(fields) {
		return fmt.Errorf("%d fields where at most %d are known", n, len(fields))
	}
	for _, field := range fields[:n] {
		if err := d.field(field); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) string() (string, error) {
	n, err := d.DecodeBytesLen()
	if err != nil {
		return "", err
	}
	if n < 0 || n > min(d.left(), MaxOp) {
		return "", fmt.Errorf("a string of %d bytes does not fit", n)
	}
	d.texts.buf = slices.Grow(d.texts.buf[:0], n)[:n]
	err = d.ReadFull(d.texts.buf)
	return d.texts.string(), err
}

// isNil consumes a nil, if one is next.
func (d decoder) isNil() (bool, error) {
	code, err := d.PeekCode()
	if err != nil || code != 0xc0 {
		return false, err
	}
	return true, d.DecodeNil()
}

func (d decoder) uint(most uint64) (uint64, error) {
	code, err := d.PeekCode()
	if err != nil {
		return 0, err
	}
	if code >= 0x80 && (code < 0xcc || code > 0xcf) {
		return 0, fmt.Errorf("code %#x is not an unsigned number", code)
	}
	n, err := d.DecodeUint64()
	if err == nil && n > most {
		err = fmt.Errorf("%d is above %d", n, most)
	}
	return n, err
}

func (d decoder) int() (int64, error) {
	code, err := d.PeekCode()
	if err != nil {
		return 0, err
	}
	if code >= 0x80 && code < 0xe0 && (code < 0xcc || code > 0xd3) {
		return 0, fmt.Errorf("code %#x is not a number", code)
	}
	return d.DecodeInt64()
}

func (d decoder) float() (float64, error) {
	code, err := d.PeekCode()
	if err != nil {
		return 0, err
	}
	if code != 0xcb {
		return 0, fmt.Errorf("code %#x is not a double", code)
	}
	return d.DecodeFloat64()
}

func (d decoder) field(field any) (err error) {
	var n uint64
	var i int64
	switch v := field.(type) {
	case *string:
		*v, err = d.string()
	case *Info:
		var s string
		s, err = d.string()
		*v = Info(s)
	case *Kind:
		var s string
		s, err = d.string()
		*v = Kind(s)
	case *Code:
		var s string
		s, err = d.string()
		*v = Code(s)
	case *bool:
		*v, err = d.DecodeBool()
	case *uint64:
		*v, err = d.uint(math.MaxUint64)
	case *Phase:
		n, err = d.uint(uint64(Gone))
		*v = Phase(n)
	case *DrainState:
		n, err = d.uint(uint64(Drained))
		*v = DrainState(n)
	case *Mode:
		n, err = d.uint(uint64(ModeDown))
		*v = Mode(n)
	case *FrameworkState:
		n, err = d.uint(uint64(FrameworkCompleted))
		*v = FrameworkState(n)
	case *Time:
		i, err = d.int()
		*v = Time(i)
	case *Duration:
		i, err = d.int()
		*v = Duration(i)
	case **Duration:
		var absent bool
		if absent, err = d.isNil(); !absent && err == nil {
			i, err = d.int()
			value := Duration(i)
			*v = &value
		}
	case *float64:
		*v, err = d.float()
	case *[32]byte:
		var s string
		if s, err = d.string(); err == nil && len(s) != len(v) {
			err = fmt.Errorf("%d bytes where %d are due", len(s), len(v))
		}
		copy(v[:], s)
	case **Drain:
		var absent bool
		if absent, err = d.isNil(); !absent && err == nil {
			*v = new(Drain)
			err = d.object(*v)
		}
	case *[]string:
		var count int
		if count, err = d.length(); err == nil {
			for range count {
				s, err := d.string()
				if err != nil {
					return err
				}
				*v = append(*v, s)
			}
		}
	case *map[string]float64:
		err = d.floats(v)
	case sequence:
		var count int
		if count, err = d.length(); err == nil {
			for range count {
				if err = d.object(v.add()); err != nil {
					return err
				}
			}
		}
	case fielder:
		err = d.object(v)
	default:
		panic(fmt.Sprintf("fsm: no decoding for %T", field))
	}
	return err
}

// floats reads names and numbers in turn; names must ascend, so that equal maps are equal bytes.
func (d decoder) floats(v *map[string]float64) error {
	count, err := d.length()
	if err != nil || count == 0 {
		return err
	}
	if count%2 != 0 {
		return errors.New("a name without a number")
	}
	*v = make(map[string]float64, count/2)
	var last string
	for i := range count / 2 {
		name, err := d.string()
		if err != nil {
			return err
		}
		if i > 0 && name <= last {
			return fmt.Errorf("%q does not come after %q", name, last)
		}
		last = name
		if (*v)[name], err = d.float(); err != nil {
			return err
		}
	}
	return nil
}
