package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	// binary has the race detector on: a data race anywhere in a node ends that node, and so the test.
	binary = program("registrard", "-race")
	// plainBinary is without the race detector, for what runs for long or must be quick.
	plainBinary = program("plain")
	// nextBinary is the program of the version after this one.
	nextBinary = program("next", "-tags", "nextformat")
	// plantedBinary is the program with the bugs in it that REGISTRARD_PLANT names.
	plantedBinary = program("planted", "-tags", "planted")
)

// program builds registrard when it is first asked for, once for the whole test run, and returns its path.
func program(name string, flags ...string) func(testing.TB) string {
	build := sync.OnceValues(func() (string, error) { return compile(name, flags...) })
	return func(t testing.TB) string {
		t.Helper()
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}

var buildDir string

var makeBuildDir = sync.OnceValue(func() (err error) {
	buildDir, err = os.MkdirTemp("", "registrard-clustertests-")
	return err
})

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
