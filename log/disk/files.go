package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const lockName = "lock"

// Claim makes the directory if need be and locks it, so that no other process uses it.
func Claim(dir string) (lock *os.File, err error) {
	if err := MakeDir(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(lock, dir); err != nil {
		return nil, err
	}
	return lock, nil
}

// ClaimEmpty is Claim for a directory that holds nothing yet.
func ClaimEmpty(dir string) (lock *os.File, err error) {
	if lock, err = Claim(dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != lockName && err == nil {
			err = fmt.Errorf("directory %s is not empty: it holds %s, and nothing is overwritten", dir, f.Name())
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Peek keeps other processes out of a directory that is only read, and changes nothing in it.
func Peek(dir string) (unlock func(), err error) {
	lock, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil // never opened by a process
	}
	if err != nil {
		return nil, err
	}
	if err := flock(lock, dir); err != nil {
		return nil, err
	}
	return func() { _ = lock.Close() }, nil
}

// flock locks or fails at once.
func flock(lock *os.File, dir string) error {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return nil
	}
	_ = lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("directory %s is in use by another process", dir)
	}
	return fmt.Errorf("lock directory %s: %w", dir, err)
}

// MakeDir makes a directory and what is missing above it, for the owner alone, and durable: a synced file in a
// directory whose own name was never synced may be gone with it after a power failure.
func MakeDir(dir string) error {
	if there, err := Exists(dir); err != nil {
		return err
	} else if there {
		return os.MkdirAll(dir, 0o700) // which fails for a file
	}
	above := filepath.Dir(dir)
	if err := MakeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(above)
}

// Replace writes a file that is there, whole and durable, or unchanged.
func Replace(path string, content []byte) error {
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
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes what was made, renamed or removed in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Exists tells whether there is a file.
func Exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
