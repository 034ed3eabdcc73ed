// Package disk is what the backends that keep files have in common: a directory that one process holds, files that
// are replaced whole or not at all, marks that say how much another file must hold, and the one error for bytes that
// are not what was written. It knows nothing of logs.
package disk
