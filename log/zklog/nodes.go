package zklog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/registrard/registrard/log/disk"
)

// The nodes below the root.
const (
	identityNode   = "identity"
	headNode       = "head"
	logNode        = "log"
	blobsNode      = "blobs"
	membersNode    = "members"
	candidatesNode = "candidates"
	restoringNode  = "restoring"
)

func entryNode(index uint64) string      { return fmt.Sprintf("%s/%020d", logNode, index) }
func memberNode(id string) string        { return membersNode + "/m-" + url.PathEscape(id) }
func candidate(name string) string       { return candidatesNode + "/" + name }
func (s *session) entry(i uint64) string { return s.path(entryNode(i)) }

// ErrDamaged says that a node is not what was written there.
var ErrDamaged = disk.ErrDamaged

// A document is a node for people to read: JSON, and a line with its checksum.

func encodeDocument(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(text, "\ncrc32c %08x\n", crc32.Checksum(text, disk.Castagnoli)), nil
}

func decodeDocument(path string, data []byte, v any) error {
	text, sum, _ := bytes.Cut(data, []byte("\n"))
	if string(sum) != fmt.Sprintf("crc32c %08x\n", crc32.Checksum(text, disk.Castagnoli)) {
		return disk.Damaged(path, "checksum does not match")
	}
	if err := json.Unmarshal(text, v); err != nil {
		return disk.Damaged(path, "%w", err)
	}
	return nil
}

// head is what the log is at one moment. Whoever changes it names the version that it saw, so that of two who try one
// succeeds.
type head struct {
	Last      uint64  `json:"last"`      // index of the newest entry
	Tail      uint64  `json:"tail"`      // index of the oldest entry that may be there
	Keep      uint64  `json:"keep"`      // entries below it are no longer wanted
	Reign     uint64  `json:"reign"`     // counts takings-over
	Leader    string  `json:"leader"`    // member that took over last
	Candidate string  `json:"candidate"` // node that it leads by
	Snapshot  blobRef `json:"snapshot"`

	version int32
	zxid    int64 // of the last change; it only grows
}

// head reads the head; changed is filled when there is a newer one.
func (s *session) head() (h head, changed <-chan zk.Event, err error) {
	path := s.path(headNode)
	var data []byte
	var stat *zk.Stat
	err = s.insist(func() (err error) {
		data, stat, changed, err = s.conn.GetW(path)
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return h, nil, disk.Damaged(path, "it is missing") // it was made with the identity, which was there
	}
	if err != nil {
		return h, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := decodeDocument(path, data, &h); err != nil {
		return h, nil, err
	}
	h.version, h.zxid = stat.Version, stat.Mzxid
	return h, changed, nil
}

// entry is one command in the log.
type entry struct {
	index, reign uint64
	nonce        nonce
	parts        uint32 // of the blob that holds the command; 0: it is here
	command      []byte
}

// nonce tells one proposal from all others.
type nonce [16]byte

func (n nonce) String() string { return hex.EncodeToString(n[:]) }

const (
	entryFormat = 1
	entryHeader = 1 + 8 + 8 + 16 + 4
)

// encode gives format, index, reign, nonce, parts, command and a checksum of them all.
func (e entry) encode() []byte {
	b := make([]byte, 0, entryHeader+len(e.command)+4)
	b = append(b, entryFormat)
	b = binary.BigEndian.AppendUint64(b, e.index)
	b = binary.BigEndian.AppendUint64(b, e.reign)
	b = append(b, e.nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, e.parts)
	if e.parts == 0 {
		b = append(b, e.command...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, disk.Castagnoli))
}

func decodeEntry(index uint64, b []byte) (e entry, err error) {
	sum := len(b) - 4
	switch {
	case sum < entryHeader:
		return e, errors.New("too short")
	case binary.BigEndian.Uint32(b[sum:]) != crc32.Checksum(b[:sum], disk.Castagnoli):
		return e, errors.New("checksum does not match")
	case b[0] != entryFormat:
		return e, fmt.Errorf("format %d, this program reads %d", b[0], entryFormat)
	}
	e = entry{index: binary.BigEndian.Uint64(b[1:]), reign: binary.BigEndian.Uint64(b[9:]), parts: binary.BigEndian.Uint32(b[33:]), command: b[entryHeader:sum:sum]}
	copy(e.nonce[:], b[17:])
	if e.index != index {
		return e, fmt.Errorf("it says that it is entry %d", e.index)
	}
	return e, nil
}

// blob is where a command lies that is too large for the entry.
func (e entry) blob() blobRef {
	return blobRef{Name: fmt.Sprintf("e-%020d-%s", e.index, e.nonce), Index: e.index, Parts: int(e.parts)}
}

// readEntry fails with zk.ErrNoNode where there is none.
func (s *session) readEntry(index uint64) (e entry, err error) {
	data, _, err := s.get(entryNode(index))
	if err != nil {
		return e, err
	}
	if e, err = decodeEntry(index, data); err != nil {
		return e, disk.Damaged(s.entry(index), "%w", err)
	}
	if e.parts > 0 {
		var command bytes.Buffer
		if _, err := command.ReadFrom(s.readBlob(e.blob())); err != nil {
			return e, err
		}
		e.command = command.Bytes()
	}
	return e, nil
}

// dropped is the head now, when an entry was not found that an earlier head tells of: a leader has dropped it since. Where
// none has, the log has lost it.
func (s *session) dropped(index uint64, why error) (now head, err error) {
	if now, _, err = s.head(); err == nil && now.Keep <= index {
		err = disk.Damaged(s.entry(index), "%w", why)
	}
	return now, err
}

// sequence is the part of a candidate's name that ZooKeeper appended.
func sequence(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }
