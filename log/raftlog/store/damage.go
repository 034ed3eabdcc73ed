package store

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrDamaged says that what is on the disk is not what was written there. The error that wraps it names the
// file, and the entry where there is one. Nothing was changed, so that what is left can be looked at.
var ErrDamaged = errors.New("storage is damaged")

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, path, fmt.Errorf(format, args...))
}

// safely turns a panic of the libraries below, which trust their files, into an error that names the file.
// Reading a mapped page behind the end of a shortened file counts as a panic too.
func safely(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, "%v", r)
		}
	}()
	return f()
}
