package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// FirstFormat is what every member has ever read. An operation raises a State's format from there to Format, once all
// members can follow.
const FirstFormat = 1

// Proposal is one operation as it travels: what is asked, and what it takes to ask it again.
type Proposal struct {
	Op Op
	// RequestID makes a repeat safe: the same one again is answered as the first was. At most MaxRequestID
	// bytes; empty: none, and a repeat is a new operation.
	RequestID string
	// Seen is an index that whoever asks knew of before asking for the first time; 0: none. Where the window
	// of request ids does not reach back to it, an id that is not found is refused.
	Seen uint64
	// Epoch is a master's fencing token; 0: none, and no fencing.
	Epoch uint64
	// By is who asks, for the record; at most MaxText bytes.
	By string
}

// Check says what is wrong with an operation whatever the State. What passes may still be refused.
func (p *Proposal) Check() error {
	if p.Op == nil {
		return errors.New("there is no operation")
	}
	if err := checkText("request_id", p.RequestID, MaxRequestID); err != nil {
		return err
	}
	if err := checkText("by", p.By, MaxText); err != nil {
		return err
	}
	return p.Op.check()
}

// Frame is what one log entry holds: operations that are durable together or not at all.
type Frame struct {
	Head
	Proposals []Proposal
	ops       [][32]byte // hash of kind and body, of those with a request id
}

// raises tells whether a frame may begin a format that this program does not read.
func (f *Frame) raises() bool {
	return slices.ContainsFunc(f.Proposals, func(p Proposal) bool { return p.Op.Kind() == RaiseFormat{}.Kind() })
}

// Head is what the proposer says of a whole frame.
type Head struct {
	// Reign is the index of the opening frame of the reign that proposes; 0 makes this an opening frame.
	Reign uint64
	// At is the proposer's clock. The State's time does not go back, whatever it says.
	At Time
	// Limit is the size in bytes above which the registry may not grow; 0: none. It travels with the frame so
	// that every node refuses the same operations.
	Limit uint64
}

func (h *Head) fields(to []any) []any { return append(to, &h.Reign, &h.At, &h.Limit) }

// Batch is operations encoded, ready to be joined into a frame.
type Batch struct {
	ops   int
	bytes []byte
}

// Ops is the number of operations, Bytes their size in a frame.
func (b Batch) Ops() int   { return b.ops }
func (b Batch) Bytes() int { return len(b.bytes) }

// usualOp is more bytes than most operations take.
const usualOp = 448

// Encode makes a Batch. It fails when an operation is wrong whatever the State, or larger than MaxOp; the error
// names it by its place. It may be called from any goroutine, so that the one writer only has to join.
func Encode(ps ...Proposal) (Batch, error) {
	var buf bytes.Buffer
	buf.Grow(usualOp * len(ps))
	e := encoder{msgpack.GetEncoder(), new(room)}
	defer msgpack.PutEncoder(e.Encoder)
	e.Reset(&buf)
	e.UseCompactInts(true)
	for i := range ps {
		p, start := &ps[i], buf.Len()
		if err := p.Check(); err != nil {
			return Batch{}, fmt.Errorf("operation %d: %w", i, err)
		}
		d, ok := Lookup(p.Op.Kind())
		if !ok {
			return Batch{}, fmt.Errorf("operation %d: unknown kind %s", i, p.Op.Kind())
		}
		_ = e.EncodeArrayLen(6) // a bytes.Buffer takes everything
		_ = e.EncodeString(string(d.Kind))
		if err := d.encode(e, p.Op); err != nil {
			return Batch{}, fmt.Errorf("operation %d: %w", i, err)
		}
		for _, field := range []any{&p.RequestID, &p.Seen, &p.Epoch, &p.By} {
			_ = e.field(field)
		}
		if size := buf.Len() - start; size > MaxOp {
			return Batch{}, fmt.Errorf("operation %d: %s of %d bytes is over the limit of %d: %w", i, d.Kind, size, MaxOp, ErrTooLarge)
		}
	}
	return Batch{len(ps), buf.Bytes()}, nil
}

// Join makes the bytes of one frame, which a Registry applies.
func Join(h Head, batches ...Batch) []byte {
	ops, size := 0, 64
	for _, b := range batches {
		ops += b.ops
		size += len(b.bytes)
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	e := newEncoder(buf)
	_ = e.EncodeArrayLen(3) // a bytes.Buffer takes everything
	_ = e.EncodeUint(FirstFormat)
	_ = e.object(&h)
	_ = e.EncodeArrayLen(ops)
	for _, b := range batches {
		buf.Write(b.bytes)
	}
	return buf.Bytes()
}

// EncodeFrame is Encode and Join in one.
func EncodeFrame(reign uint64, at time.Time, ps ...Proposal) ([]byte, error) {
	batch, err := Encode(ps...)
	if err != nil {
		return nil, err
	}
	return Join(Head{Reign: reign, At: TimeOf(at)}, batch), nil
}

// DecodeFrame reads what EncodeFrame made. Whatever it does not know, down to a trailing byte, is an error:
// skipping it would make replicas differ in silence.
func DecodeFrame(b []byte) (*Frame, error) { return decodeFrame(b, new(texts)) }

func decodeFrame(b []byte, t *texts) (*Frame, error) {
	r := bytes.NewReader(b)
	d := newDecoder(r, r.Len, t)
	f := &Frame{}
	n, err := d.length()
	if err != nil || n != 3 {
		return nil, fmt.Errorf("not a frame: %w", orElse(err, "%d parts", n))
	}
	format, err := d.uint(math.MaxUint64)
	if err != nil {
		return nil, fmt.Errorf("not a frame: %w", err)
	}
	if format == 0 || format > Format {
		return nil, fmt.Errorf("frame of format %d, and this program reads up to %d", format, Format)
	}
	if err := d.field(&f.Head); err != nil {
		return nil, fmt.Errorf("not a frame: %w", err)
	}
	count, err := d.length()
	if err != nil {
		return nil, fmt.Errorf("not a frame: %w", err)
	}
	f.Proposals, f.ops = make([]Proposal, count), make([][32]byte, count)
	for i := range f.Proposals {
		p := &f.Proposals[i]
		if n, err := d.length(); err != nil || n != 6 {
			return nil, fmt.Errorf("operation %d: %w", i, orElse(err, "%d parts", n))
		}
		start := len(b) - r.Len()
		var kind Kind
		if err := d.field(&kind); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		definition, ok := Lookup(kind)
		if !ok {
			return nil, fmt.Errorf("operation %d: unknown kind %q", i, string(kind))
		}
		if p.Op, err = definition.decode(d); err != nil {
			return nil, fmt.Errorf("operation %d: %s: %w", i, kind, err)
		}
		end := len(b) - r.Len()
		for _, field := range []any{&p.RequestID, &p.Seen, &p.Epoch, &p.By} {
			if err := d.field(field); err != nil {
				return nil, fmt.Errorf("operation %d: %s: %w", i, kind, err)
			}
		}
		if p.RequestID != "" {
			f.ops[i] = sha256.Sum256(b[start:end])
		}
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%d bytes after the frame", r.Len())
	}
	return f, nil
}

// orElse is err, or an error of its own where there is none.
func orElse(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf(format, args...)
}
