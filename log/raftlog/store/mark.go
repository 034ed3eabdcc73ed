package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// mark is a tiny file that holds two numbers beside a larger file, to say how much must be in that. It is
// one checksummed record, overwritten in place and much smaller than a sector, and it is locked while open,
// which keeps a second process out.
type mark struct {
	path string
	f    *os.File
}

const (
	markMagic = "regmark1"
	markSize  = len(markMagic) + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeMark(a, b uint64) []byte {
	buf := append(make([]byte, 0, markSize), markMagic...)
	buf = binary.LittleEndian.AppendUint64(buf, a)
	buf = binary.LittleEndian.AppendUint64(buf, b)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
}

func decodeMark(buf []byte) (a, b uint64, err error) {
	if len(buf) != markSize {
		return 0, 0, fmt.Errorf("%d bytes, expected %d", len(buf), markSize)
	}
	sum := len(buf) - 4
	if string(buf[:len(markMagic)]) != markMagic || binary.LittleEndian.Uint32(buf[sum:]) != crc32.Checksum(buf[:sum], castagnoli) {
		return 0, 0, errors.New("checksum does not match")
	}
	return binary.LittleEndian.Uint64(buf[8:]), binary.LittleEndian.Uint64(buf[16:]), nil
}

// createMark makes the file, whole or not at all.
func createMark(path string, a, b uint64) error {
	return replaceFile(path, encodeMark(a, b))
}

// openMark locks and reads it.
func openMark(path string) (m *mark, a, b uint64, err error) {
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
		return nil, 0, 0, damaged(path, "%w", err)
	}
	return &mark{path: path, f: f}, a, b, nil
}

// write replaces the numbers. Without sync they survive the process, not the machine.
func (m *mark) write(a, b uint64, sync bool) error {
	if _, err := m.f.WriteAt(encodeMark(a, b), 0); err != nil {
		return err
	}
	if sync {
		return m.f.Sync()
	}
	return nil
}

func (m *mark) close() error { return errors.Join(m.f.Sync(), m.f.Close()) }

// replaceFile writes a file that is there, whole and durable, or unchanged.
func replaceFile(path string, content []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
