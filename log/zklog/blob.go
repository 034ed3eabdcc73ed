package zklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log/disk"
)

// A blob is bytes that are too many for one node: a node without data, whose children are the parts, each with a
// checksum of the blob's name, its own number and what it holds. A blob means nothing until something that counts
// names it, and what nothing names is taken away by the next leader.
type blobRef struct {
	Name  string `json:"name,omitempty"`
	Index uint64 `json:"index"` // for a snapshot: every entry up to it is in the state
	Parts int    `json:"parts"`
	Size  int64  `json:"size"`
}

func partNode(blob string, part int) string { return fmt.Sprintf("%s/%s/%08d", blobsNode, blob, part) }

func sealPart(blob string, part int, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(content)), partSum(blob, part, content)), content...)
}

func partSum(blob string, part int, content []byte) uint32 {
	sum := crc32.Checksum(fmt.Appendf(nil, "%s/%d:", blob, part), disk.Castagnoli)
	return crc32.Update(sum, disk.Castagnoli, content)
}

// blobWriter writes a blob whose node is there.
type blobWriter struct {
	s    *session
	ref  blobRef
	part []byte
}

func (s *session) newBlob(name string, index uint64) (*blobWriter, error) {
	if err := s.put(blobsNode+"/"+name, nil); err != nil {
		return nil, fmt.Errorf("make %s/%s: %w", blobsNode, name, err)
	}
	return &blobWriter{s: s, ref: blobRef{Name: name, Index: index}}, nil
}

func (w *blobWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		n := min(len(b), partBytes-len(w.part))
		w.part = append(w.part, b[:n]...)
		b, written = b[n:], written+n
		if len(w.part) == partBytes {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (w *blobWriter) flush() error {
	if len(w.part) == 0 {
		return nil
	}
	if err := w.s.put(partNode(w.ref.Name, w.ref.Parts), sealPart(w.ref.Name, w.ref.Parts, w.part)); err != nil {
		return fmt.Errorf("write part %d of %s: %w", w.ref.Parts, w.ref.Name, err)
	}
	w.ref.Parts++
	w.ref.Size += int64(len(w.part))
	w.part = w.part[:0]
	return nil
}

// blobReader reads the parts in order; each is seen to be what was written before a byte of it is given out.
type blobReader struct {
	s    *session
	ref  blobRef
	next int
	rest []byte
	err  error // why a part could not be read; a machine need not repeat it
}

func (s *session) readBlob(ref blobRef) *blobReader { return &blobReader{s: s, ref: ref} }

func (r *blobReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next == r.ref.Parts {
			return 0, io.EOF
		}
		if r.err == nil {
			r.rest, r.err = r.s.readPart(r.ref.Name, r.next)
		}
		if r.err != nil {
			return 0, r.err
		}
		r.next++
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (s *session) readPart(blob string, part int) ([]byte, error) {
	name := partNode(blob, part)
	data, _, err := s.get(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path(name), err)
	}
	if len(data) < 4 || binary.BigEndian.Uint32(data) != partSum(blob, part, data[4:]) {
		return nil, disk.Damaged(s.path(name), "checksum does not match")
	}
	return data[4:], nil
}

// replaced is the head now, when a part was not found of the snapshot that an earlier head names: a leader has put
// another in its place since. Where none has, the snapshot is damaged.
func (s *session) replaced(snapshot blobRef, why error) (now head, err error) {
	if now, _, err = s.head(); err == nil && now.Snapshot == snapshot {
		err = disk.Damaged(s.path(blobsNode+"/"+snapshot.Name), "%w", why)
	}
	return now, err
}

func (s *session) removeBlob(name string) error {
	parts, err := s.list(blobsNode + "/" + name)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	for _, part := range parts {
		if err == nil {
			err = s.remove(blobsNode + "/" + name + "/" + part)
		}
	}
	if err != nil {
		return err
	}
	return s.remove(blobsNode + "/" + name)
}

// tidy removes the blobs that nothing names: of writers that ended half-way, of entries and snapshots that are no
// more. None may be being written by this member.
func (s *session) tidy(h head) error {
	names, err := s.list(blobsNode)
	if err != nil {
		return err
	}
	for _, name := range names {
		wanted := name == h.Snapshot.Name
		if rest, ok := strings.CutPrefix(name, "e-"); ok {
			number, _, _ := strings.Cut(rest, "-")
			index, err := strconv.ParseUint(number, 10, 64)
			if err == nil && index >= h.Tail && index >= h.Keep && index <= h.Last {
				wanted, err = s.names(index, name)
				if err != nil {
					return err
				}
			}
		}
		if wanted {
			continue
		}
		if err := s.removeBlob(name); err != nil && !errors.Is(err, zk.ErrNotEmpty) { // a deposed leader writes it still
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// names tells whether a blob holds the command of the entry at index.
func (s *session) names(index uint64, blob string) (bool, error) {
	data, _, err := s.get(entryNode(index))
	if errors.Is(err, zk.ErrNoNode) {
		_, err = s.dropped(index, err)
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("read entry %d: %w", index, err)
	}
	e, err := decodeEntry(index, data)
	if err != nil {
		return false, disk.Damaged(s.entry(index), "%w", err)
	}
	return e.blob().Name == blob, nil
}
