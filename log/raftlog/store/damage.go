package store

import (
	"runtime/debug"

	"github.com/registrard/registrard/log/disk"
)

// safely turns a panic of the libraries below, which trust their files, into an error that names the file.
// Reading a mapped page behind the end of a shortened file counts as a panic too.
func safely(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = disk.Damaged(path, "%v", r)
		}
	}()
	return f()
}
