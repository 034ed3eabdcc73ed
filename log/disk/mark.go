package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"
)

// Mark is a tiny file that holds two numbers beside a larger file, to say how much must be in that. It is
// one checksummed record, overwritten in place and much smaller than a sector, and it is locked while open,
// which keeps a second process out.
type Mark struct {
	path string
	f    *os.File
}

const (
	markMagic = "regmark1"
	markSize  = len(markMagic) + 8 + 8 + 4
)

// Castagnoli is the polynomial of all checksums here.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeMark(a, b uint64) []byte {
	buf := append(make([]byte, 0, markSize), markMagic...)
	buf = binary.LittleEndian.AppendUint64(buf, a)
	buf = binary.LittleEndian.AppendUint64(buf, b)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, Castagnoli))
}

func decodeMark(buf []byte) (a, b uint64, err error) {
	if len(buf) != markSize {
		return 0, 0, fmt.Errorf("%d bytes, expected %d", len(buf), markSize)
	}
	sum := len(buf) - 4
	if string(buf[:len(markMagic)]) != markMagic || binary.LittleEndian.Uint32(buf[sum:]) != crc32.Checksum(buf[:sum], Castagnoli) {
		return 0, 0, errors.New("checksum does not match")
	}
	return binary.LittleEndian.Uint64(buf[8:]), binary.LittleEndian.Uint64(buf[16:]), nil
}

// CreateMark makes the file, whole or not at all.
func CreateMark(path string, a, b uint64) error {
	return Replace(path, encodeMark(a, b))
}

// ReadMark is the first number of a mark's content, for who only reads.
func ReadMark(path string, content []byte) (uint64, error) {
	a, _, err := decodeMark(content)
	if err != nil {
		return 0, Damaged(path, "%w", err)
	}
	return a, nil
}

// OpenMark locks and reads it; fs.ErrNotExist where there is none.
func OpenMark(path string) (m *Mark, a, b uint64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, 0, 0, fmt.Errorf("%s is in use by another process: %w", path, err)
	}
	buf, err := io.ReadAll(io.LimitReader(f, int64(markSize)+1))
	if err != nil {
		return nil, 0, 0, err
	}
	a, b, err = decodeMark(buf)
	if err != nil {
		return nil, 0, 0, Damaged(path, "%w", err)
	}
	return &Mark{path: path, f: f}, a, b, nil
}

// Write replaces the numbers. Without sync they survive the process, not the machine.
func (m *Mark) Write(a, b uint64, sync bool) error {
	if _, err := m.f.WriteAt(encodeMark(a, b), 0); err != nil {
		return err
	}
	if sync {
		return m.f.Sync()
	}
	return nil
}

// Close lets go of the file and its lock.
func (m *Mark) Close() error { return errors.Join(m.f.Sync(), m.f.Close()) }
