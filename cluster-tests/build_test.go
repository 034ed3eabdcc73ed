package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// plainBinary is without the race detector, for what runs for long or must be quick.
func plainBinary(t testing.TB) string {
	t.Helper()
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// nextBinary is the program of the version after this one.
func nextBinary(t testing.TB) string {
	t.Helper()
	path, err := buildNext()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildDir string

var makeBuildDir = sync.OnceValue(func() (err error) {
	buildDir, err = os.MkdirTemp("", "registrard-clustertests-")
	return err
})

var (
	build        = sync.OnceValues(func() (string, error) { return compile("registrard", "-race") })
	buildPlain   = sync.OnceValues(func() (string, error) { return compile("plain") })
	buildNext    = sync.OnceValues(func() (string, error) { return compile("next", "-tags", "nextformat") })
	buildPlanted = sync.OnceValues(func() (string, error) { return compile("planted", "-tags", "planted") })
)

func compile(name string, flags ...string) (string, error) {
	if err := makeBuildDir(); err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, name)
	args := append([]string{"build", "-o", path}, flags...)
	out, err := exec.Command("go", append(args, "github.com/registrard/registrard/cmd/registrard")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// TestMain takes the binary away again.
func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}
