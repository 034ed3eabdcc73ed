package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// binary builds registrard once for the whole test run and returns its path. The race detector is on: a data
// race anywhere in a node ends that node, and so the test.
func binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildDir string

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "registrard-clustertests-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	path := filepath.Join(dir, "registrard")
	args := []string{"build", "-race", "-o", path, "github.com/registrard/registrard/cmd/registrard"}
	if os.Getenv("OUTAGE_ROUNDS") != "" {
		args = slices.Delete(args, 1, 2) // figures are of the program that people run
	}
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// TestMain takes the binary away again.
func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}
