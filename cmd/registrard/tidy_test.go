package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/registrard/registrard/fsm"
)

// The repository checks itself: facts, not taste.

const module = "github.com/registrard/registrard"

// may lists what a package imports beside the standard library; of ours, relative to the module. Packages below
// one that is listed are held to its line.
var may = map[string][]string{
	"fsm":               {"cluster-tests/planted", "github.com/vmihailenco/msgpack/v5", "github.com/tidwall/btree", "github.com/go-json-experiment/json"},
	"log":               {},
	"log/disk":          {},
	"log/logtest":       {"log", "go.uber.org/goleak"},
	"log/memlog":        {"log"},
	"log/leveldblog":    {"log", "log/disk", "github.com/hashicorp/go-hclog", "github.com/syndtr/goleveldb"},
	"log/zklog":         {"log", "log/disk", "github.com/hashicorp/go-hclog", "github.com/go-zookeeper/zk"},
	"log/zklog/zktest":  {"transport/transporttest"},
	"log/raftlog":       {"cluster-tests/planted", "log", "log/disk", "log/raftlog/store", "transport", "github.com/hashicorp"},
	"log/raftlog/store": {"log/disk", "github.com/hashicorp", "go.etcd.io/bbolt"},
	"transport":         {"github.com/hashicorp"},
	"registrar":         {"fsm", "cluster-tests/planted", "log", "github.com/hashicorp/go-hclog", "github.com/prometheus/client_golang"},
	"registrar/liveness": {"fsm", "log", "registrar", "github.com/hashicorp/go-hclog", "github.com/prometheus/client_golang", "github.com/go-json-experiment/json",
		"golang.org/x/time"},
	"registrar/mastership": {"fsm", "log", "registrar", "github.com/hashicorp/go-hclog"},
	"transport/httpapi": {"fsm", "cluster-tests/planted", "log", "registrar", "registrar/liveness", "registrar/mastership", "transport/httpapi/wire",
		"github.com/hashicorp/go-hclog", "github.com/prometheus/client_golang", "github.com/go-json-experiment/json"},
	"cluster-tests/history": {"github.com/anishathalye/porcupine"},
	"transport/client": {"golang.org/x/sync/singleflight", "fsm", "log", "registrar", "registrar/liveness", "registrar/mastership", "transport/httpapi/wire",
		"github.com/go-json-experiment/json"},
}

// forbidden is what a package may not import of the standard library.
var forbidden = map[string][]string{
	"fsm": {"os", "net", "sync", "math/rand", "log", "context", "runtime"},
	"":    {"log", "log/slog"}, // everywhere: we have hclog
}

func TestImports(t *testing.T) {
	eachFile(t, func(dir, path string, file *ast.File) {
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(forbidden[""], name) || slices.Contains(forbidden[dir], name) {
				t.Errorf("%s imports %s", path, name)
			}
			own, isOwn := strings.CutPrefix(name, module+"/")
			if !isOwn && !strings.Contains(strings.Split(name, "/")[0], ".") {
				continue // the standard library
			}
			allowed, held := may[line(dir)]
			if !held {
				continue // cmd and cluster-tests
			}
			if isOwn && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which %s must not", path, own, dir)
			}
			if !isOwn && !slices.ContainsFunc(allowed, func(a string) bool { return name == a || strings.HasPrefix(name, a+"/") }) {
				t.Errorf("%s imports %s, which %s must not", path, name, dir)
			}
		}
	})
}

// line finds the entry of may that a directory is held to.
func line(dir string) string {
	for ; dir != "."; dir = filepath.Dir(dir) {
		if _, ok := may[dir]; ok {
			return dir
		}
	}
	return dir
}

// fsm has no clock of its own and no goroutine.
func TestMachineIsPure(t *testing.T) {
	eachFile(t, func(dir, path string, file *ast.File) {
		if dir != "fsm" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", path)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "NewTimer", "NewTicker"}, n.Sel.Name) {
					t.Errorf("%s asks for the time", path)
				}
			}
			return true
		})
	})
}

// Every package says in doc.go what it is.
func TestEveryPackageHasADocFile(t *testing.T) {
	seen := map[string]bool{}
	eachFile(t, func(dir, path string, file *ast.File) {
		if filepath.Base(path) == "doc.go" && file.Doc.Text() != "" {
			seen[dir] = true
		} else if !seen[dir] {
			seen[dir] = false
		}
	})
	for dir, ok := range seen {
		if !ok {
			t.Errorf("%s has no doc.go", dir)
		}
	}
}

// Raft's futures know no deadline (hashicorp/raft issue 498): a wait for one is in a function that has one of its
// own, or that is answered at once.
func TestEveryWaitForAFutureHasADeadline(t *testing.T) {
	bounded := map[string]string{
		"fly":     "Error",    // ends with its context too
		"Propose": "Response", // of what fly has waited for
		"quiet":   "Error",    // gives up in time
		"servers": "Error",    // GetConfiguration is answered at once
	}
	seen := 0
	eachFile(t, func(dir, path string, file *ast.File) {
		if dir != "log/raftlog" && !slices.ContainsFunc(file.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"github.com/hashicorp/raft"` }) {
			return
		}
		for _, decl := range file.Decls {
			in := ""
			if f, ok := decl.(*ast.FuncDecl); ok {
				in = f.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) > 0 {
					return true
				}
				of, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || of.Sel.Name != "Error" && of.Sel.Name != "Response" {
					return true
				}
				if x, ok := of.X.(*ast.Ident); ok && x.Name == "err" {
					return true // the text of an error
				}
				if seen++; bounded[in] != of.Sel.Name {
					t.Errorf("%s: %s waits for a future with %s, and no deadline", path, in, of.Sel.Name)
				}
				return true
			})
		}
	})
	if seen < len(bounded) {
		t.Errorf("%d waits found: the test looks in the wrong place", seen)
	}
}

// Every kind has a section in docs/operations.md, which names all its arguments.
func TestEveryKindIsDocumented(t *testing.T) {
	text := read(t, "docs/operations.md")
	for _, d := range fsm.Vocabulary() {
		_, section, ok := strings.Cut(text, "\n## `"+string(d.Kind)+"`\n")
		if !ok {
			t.Errorf("docs/operations.md has no section on %s", d.Kind)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, arg := range d.Args {
			if !strings.Contains(section, "`"+arg.Name+"`") {
				t.Errorf("docs/operations.md does not tell of argument %s of %s", arg.Name, d.Kind)
			}
		}
	}
}

// Every metric of ours has a row in docs/metrics.md, and every row a metric.
func TestEveryMetricIsDocumented(t *testing.T) {
	text := read(t, "docs/metrics.md")
	names := metricNames(t)
	for _, name := range names {
		if !strings.Contains(text, "\n| `"+name+"`") {
			t.Errorf("docs/metrics.md has no row for %s", name)
		}
	}
	for row := range strings.Lines(text) {
		name, ok := strings.CutPrefix(row, "| `")
		if name, _, _ = strings.Cut(name, "`"); ok && !slices.Contains(names, name) {
			t.Errorf("docs/metrics.md tells of %s, which there is not", name)
		}
	}
}

// metricNames finds the names where metrics are made: string literals beginning with registrard_.
func metricNames(t *testing.T) (names []string) {
	eachFile(t, func(dir, path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if name, err := strconv.Unquote(l.Value); err == nil && strings.HasPrefix(name, "registrard_") && name != raftSink && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			return true
		})
	})
	if len(names) < 10 {
		t.Fatalf("only %d metrics were found: %v", len(names), names)
	}
	return names
}

// Links between the documents lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rest := string(text)
		for {
			var found bool
			if _, rest, found = strings.Cut(rest, "]("); !found {
				return nil
			}
			link, _, _ := strings.Cut(rest, ")")
			link, _, _ = strings.Cut(link, "#")
			if link == "" || strings.Contains(link, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), link)); err != nil {
				t.Errorf("%s: %s leads nowhere", path, link)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eachFile parses every file that is not a test.
func eachFile(t *testing.T, visit func(dir, path string, file *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		visit(filepath.ToSlash(filepath.Dir(relative)), filepath.ToSlash(relative), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d files were found", files)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
