package leveldblog

import (
	"os"
	"testing"

	"github.com/registrard/registrard/log"
	"github.com/registrard/registrard/log/logtest"
)

// The conformance suite, over one directory per test.
func TestConformance(t *testing.T) {
	dirs := map[log.Log[result]]string{}
	logtest.Run(t, logtest.Backend{
		Storage: func(t testing.TB) func(log.StateMachine[result]) (log.Log[result], error) {
			dir := t.TempDir()
			return func(m log.StateMachine[result]) (log.Log[result], error) {
				l, err := Open(Config{ID: "n1", Dir: dir, MaxCommand: 1 << 20}, m)
				if err != nil {
					return nil, err
				}
				dirs[l] = dir
				return l, nil
			}
		},
		// What a killed process leaves is what the directory held while it still ran.
		Crash: func(t testing.TB, l log.Log[result]) {
			left := t.TempDir()
			if err := os.CopyFS(left, os.DirFS(dirs[l])); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(dirs[l]); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(left, dirs[l]); err != nil {
				t.Fatal(err)
			}
		},
		TooLarge: 1<<20 + 1,
		Lingers:  []string{"github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"}, // for a second
	})
}
