package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// firstFormat is what every member has ever read; Format is the newest that this program reads. An operation
// raises a State's format from one to the other once all members can follow.
const (
	firstFormat = 1
	Format      = 1
)

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
	// Reign is the index of the opening frame of the reign that proposed it; 0 makes it an opening frame.
	Reign uint64
	// At is the proposer's clock. The State's time does not go back, whatever it says.
	At        Time
	Proposals []Proposal
	ops       [][32]byte // hash of kind and body, of those with a request id
}

// EncodeFrame makes the bytes that a Registry applies. It fails when an operation is wrong whatever the State,
// or larger than MaxOp; errors name it by its place. It may be called from any goroutine.
func EncodeFrame(reign uint64, at time.Time, ps ...Proposal) ([]byte, error) {
	var buf bytes.Buffer
	e := newEncoder(&buf)
	format, now := uint64(firstFormat), TimeOf(at)
	_ = e.EncodeArrayLen(4) // a bytes.Buffer takes everything
	for _, head := range []any{&format, &reign, &now} {
		_ = e.field(head)
	}
	_ = e.EncodeArrayLen(len(ps))
	for i := range ps {
		p, start := &ps[i], buf.Len()
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		d, ok := Lookup(p.Op.Kind())
		if !ok {
			return nil, fmt.Errorf("operation %d: unknown kind %s", i, p.Op.Kind())
		}
		_ = e.EncodeArrayLen(6)
		_ = e.EncodeString(string(d.Kind))
		if err := d.encode(e, p.Op); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		for _, field := range []any{&p.RequestID, &p.Seen, &p.Epoch, &p.By} {
			_ = e.field(field)
		}
		if size := buf.Len() - start; size > MaxOp {
			return nil, fmt.Errorf("operation %d: %s of %d bytes is over the limit of %d", i, d.Kind, size, MaxOp)
		}
	}
	return buf.Bytes(), nil
}

// DecodeFrame reads what EncodeFrame made. Whatever it does not know, down to a trailing byte, is an error:
// skipping it would make replicas differ in silence.
func DecodeFrame(b []byte) (*Frame, error) {
	r := bytes.NewReader(b)
	d := newDecoder(r, r.Len)
	f := &Frame{}
	n, err := d.length()
	if err != nil || n != 4 {
		return nil, fmt.Errorf("not a frame: %w", orElse(err, "%d parts", n))
	}
	var format uint64
	for _, head := range []any{&format, &f.Reign, &f.At} {
		if err := d.field(head); err != nil {
			return nil, fmt.Errorf("not a frame: %w", err)
		}
	}
	if format == 0 || format > Format {
		return nil, fmt.Errorf("frame of format %d, and this program reads up to %d", format, Format)
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
