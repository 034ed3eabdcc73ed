package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"

	"github.com/registrard/registrard/log/disk"
)

// sumSize is what an entry grows by: its checksum, at the end of Extensions.
const sumSize = 4

// sum covers everything that an entry says.
func sum(e *raft.Log) uint32 {
	var head [49]byte
	binary.LittleEndian.PutUint64(head[0:], e.Index)
	binary.LittleEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	binary.LittleEndian.PutUint64(head[17:], uint64(len(e.Data)))
	binary.LittleEndian.PutUint64(head[25:], uint64(len(e.Extensions)))
	binary.LittleEndian.PutUint64(head[33:], uint64(e.AppendedAt.Unix()))
	binary.LittleEndian.PutUint64(head[41:], uint64(e.AppendedAt.Nanosecond()))
	c := crc32.Update(0, disk.Castagnoli, head[:])
	c = crc32.Update(c, disk.Castagnoli, e.Data)
	return crc32.Update(c, disk.Castagnoli, e.Extensions)
}

// seal returns copies of the entries that carry their checksums. The data is shared: raft goes on using
// the entries it gave, and they must not change under it.
func seal(entries []*raft.Log) []*raft.Log {
	copies := make([]raft.Log, len(entries))
	sealed := make([]*raft.Log, len(entries))
	for i, e := range entries {
		copies[i] = *e
		ext := make([]byte, 0, len(e.Extensions)+sumSize)
		copies[i].Extensions = binary.LittleEndian.AppendUint32(append(ext, e.Extensions...), sum(e))
		sealed[i] = &copies[i]
	}
	return sealed
}

// unseal verifies the entry read for index and takes its checksum off.
func unseal(index uint64, e *raft.Log) error {
	if e.Index != index {
		return fmt.Errorf("it says that it is entry %d", e.Index)
	}
	n := len(e.Extensions) - sumSize
	if n < 0 {
		return errors.New("it has no checksum")
	}
	want := binary.LittleEndian.Uint32(e.Extensions[n:])
	e.Extensions = e.Extensions[:n:n]
	if n == 0 {
		e.Extensions = nil
	}
	if sum(e) != want {
		return errors.New("checksum does not match")
	}
	return nil
}
