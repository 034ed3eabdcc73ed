package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

const snapshotMagic = "registrard snapshot\n"

// snapshot writes one State: a head, the tables in key order, the two rings, and a checksum over it all.
// Equal States are equal bytes.
type snapshot struct{ s *State }

// Snapshot is the State in bytes, whenever it is written: what Registry.Restore and Transplant read.
func (s *State) Snapshot() io.WriterTo { return snapshot{s} }

// head lists what a snapshot says of a State before its tables.
func (s *State) head(digest *[32]byte) []any {
	return []any{&s.format, &s.index, &s.time, &s.reign, &s.epoch, &s.leap, &s.seq, digest, &s.chain,
		&s.requests.first, &s.requestsLost, &s.changes.first, &s.changesLost}
}

// WriteTo may be called from any goroutine, while the registry moves on.
func (n snapshot) WriteTo(to io.Writer) (int64, error) {
	s := *n.s // for the pointers of its fields
	sum := sha256.New()
	counter := &counter{to: io.MultiWriter(to, sum)}
	w := bufio.NewWriterSize(counter, 1<<16)
	e := newEncoder(w)
	digest := s.digest()
	err := errors.Join(
		e.EncodeString(snapshotMagic),
		e.tuple(s.head(&digest)...),
		writeTable(e, &s.phases[0]),
		writeTable(e, &s.phases[1]),
		writeTable(e, &s.phases[2]),
		writeTable(e, &s.frameworks),
		writeTable(e, &s.quotas),
		writeTable(e, &s.weights),
		writeTable(e, &s.schedules),
		writeTable(e, &s.machines),
		writeTable(e, &s.providers),
		writeTable(e, &s.removedProviders),
		writeTable(e, &s.masters),
		writeTable(e, &s.members),
		writeRing[request](e, &s.requests),
		writeRing[Change](e, &s.changes),
		w.Flush(),
	)
	if err != nil {
		return counter.n, err
	}
	_, err = counter.Write(sum.Sum(nil))
	return counter.n, err
}

func writeTable[R record](e encoder, t *table[R]) error {
	id := uint64(t.section)
	if err := errors.Join(e.field(&id), e.EncodeArrayLen(t.records.Len())); err != nil {
		return err
	}
	var err error
	t.records.Scan(func(_ string, r R) bool {
		err = errors.Join(e.object(r), e.tuple(r.mark().place()...))
		return err == nil
	})
	return err
}

func writeRing[T any, P interface {
	*T
	fielder
}](e encoder, r *ring[T]) error {
	if err := e.EncodeArrayLen(int(r.len())); err != nil {
		return err
	}
	for v := range r.all(r.first) {
		if err := e.object(P(v)); err != nil {
			return err
		}
	}
	return nil
}

// readSnapshot reads what WriteTo wrote, to the last byte, and makes every sum again.
func readSnapshot(from io.Reader, work *scratch) (*State, error) {
	seal := &sealed{from: from, sum: sha256.New()}
	in := bufio.NewReaderSize(seal, 1<<16)
	d := newDecoder(in, func() int { return math.MaxInt32 }, new(texts))
	if magic, err := d.string(); err != nil || magic != snapshotMagic {
		return nil, fmt.Errorf("not a snapshot: %w", orElse(err, "it begins %q", magic))
	}
	s := newState()
	var digest [32]byte
	if err := d.tuple(s.head(&digest)...); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if s.format > Format {
		return nil, fmt.Errorf("snapshot of format %d, and this program reads up to %d", s.format, Format)
	}
	err := firstError(
		func() error { return readTable(d, s, &s.phases[0], work) },
		func() error { return readTable(d, s, &s.phases[1], work) },
		func() error { return readTable(d, s, &s.phases[2], work) },
		func() error { return readTable(d, s, &s.frameworks, work) },
		func() error { return readTable(d, s, &s.quotas, work) },
		func() error { return readTable(d, s, &s.weights, work) },
		func() error { return readTable(d, s, &s.schedules, work) },
		func() error { return readTable(d, s, &s.machines, work) },
		func() error { return readTable(d, s, &s.providers, work) },
		func() error { return readTable(d, s, &s.removedProviders, work) },
		func() error { return readTable(d, s, &s.masters, work) },
		func() error { return readTable(d, s, &s.members, work) },
		func() error { return readRing[request](d, &s.requests) },
		func() error { return readRing[Change](d, &s.changes) },
	)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if _, err := in.ReadByte(); err != io.EOF || !seal.intact() {
		return nil, errors.New("snapshot: its checksum does not match")
	}
	if s.digest() != digest {
		return nil, errors.New("snapshot: its digest does not match its records")
	}
	return s, nil
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func readTable[T any, R interface {
	*T
	record
}](d decoder, s *State, t *table[R], work *scratch) error {
	var id uint64
	if err := d.field(&id); err != nil {
		return err
	}
	if id != uint64(t.section) {
		return fmt.Errorf("section %d where %d is due", id, t.section)
	}
	count, err := d.length()
	if err != nil {
		return fmt.Errorf("section %d: %w", id, err)
	}
	var last string
	records := make([]R, 0, min(count, 1<<20)) // a count may lie
	for i := range count {
		r := R(new(T))
		err := d.object(r)
		if err == nil {
			err = d.tuple(r.mark().place()...)
		}
		if err != nil {
			return fmt.Errorf("section %d, record %d: %w", id, i, err)
		}
		if i > 0 && r.key() <= last {
			return fmt.Errorf("section %d: %q does not come after %q", id, r.key(), last)
		}
		last = r.key()
		m := r.mark()
		m.sum, m.size = work.measure(t.section, r)
		s.count(t.section, m)
		records = append(records, r)
	}
	t.load(records)
	return nil
}

func readRing[T any, P interface {
	*T
	fielder
}](d decoder, r *ring[T]) error {
	count, err := d.length()
	if err != nil {
		return err
	}
	r.next = r.first
	for range count {
		var v T
		if err := d.object(P(&v)); err != nil {
			return err
		}
		r.push(v)
	}
	return nil
}

// counter counts what is written through it.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// sealed reads all but the last 32 bytes of a stream and hashes what it reads: the rest is the checksum that a
// snapshot ends with.
type sealed struct {
	from       io.Reader
	sum        hash.Hash
	buf        [1 << 16]byte
	start, end int // of what is in buf
	err        error
}

func (s *sealed) Read(b []byte) (int, error) {
	for s.end-s.start <= sha256.Size && s.err == nil {
		s.end = copy(s.buf[:], s.buf[s.start:s.end])
		s.start = 0
		var n int
		n, s.err = s.from.Read(s.buf[s.end:])
		s.end += n
	}
	if s.end-s.start <= sha256.Size {
		return 0, s.err
	}
	n := copy(b, s.buf[s.start:s.end-sha256.Size])
	s.sum.Write(b[:n])
	s.start += n
	return n, nil
}

// intact tells whether everything was read and matches the checksum.
func (s *sealed) intact() bool {
	return s.err == io.EOF && bytes.Equal(s.sum.Sum(nil), s.buf[s.start:s.end])
}
