package disk

import (
	"os"
	"path/filepath"
	"testing"
)

// A directory is made with what is missing above it, for the owner alone; one that is there is kept, and a file
// in its place is refused.
func TestMakeDir(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b", "c")
	for range 2 {
		if err := MakeDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(made)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := MakeDir(path); err == nil {
			t.Errorf("%s was made where a file is", path)
		}
	}
}
