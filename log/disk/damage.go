package disk

import (
	"errors"
	"fmt"
)

// ErrDamaged says that what is on the disk is not what was written there. The error that wraps it names the
// file, and the entry where there is one. Nothing was changed, so that what is left can be looked at.
var ErrDamaged = errors.New("storage is damaged")

// Damaged makes the error of a file.
func Damaged(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, path, fmt.Errorf(format, args...))
}
