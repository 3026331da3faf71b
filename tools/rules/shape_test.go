package rules

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is the length from which a file is hardly one concern.
const maxLines = 450

// vagueNames say nothing of what a package owns.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base"}

// allowedSkips counts the places where a test may skip, by file. A skip hides
// a test, so a new one is a decision that is written down here.
var allowedSkips = map[string]int{
	"checkpoint/store/disk_test.go":   1, // who may not mount can't fill a small file system
	"sentry/dirtytrack/watch_test.go": 1, // a kernel before Linux 6.7 can't say who wrote what
	"test/harness/need.go":            1, // the one place where the end-to-end tests say what they miss

	"runsc-recover/internal/sandbox/vethtest/vethtest.go":    1, // network namespaces need root
	"runsc-recover/internal/sandbox/rxqueue/rxqueue_test.go": 1, // large buffers need root
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatalf("parse %s: %v", file, err)
	}
	return f
}

// sources lists the tracked Go files, relative to the module's root.
func sources(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(f string) bool {
		_, err := os.Stat(filepath.Join("../..", f))
		return err != nil
	})
}

func TestEveryPackageHasAContract(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles)+len(p.CgoFiles) > 0 {
			t.Errorf("%s has no package comment that says what it owns", p.ImportPath)
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(vagueNames, p.Name) {
			t.Errorf("%s: the name %q says nothing of what it owns", p.ImportPath, p.Name)
		}
	}
}

func TestFilesAreOneConcern(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join("../..", f))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, at most %d", f, n, maxLines)
		}
	}
}

func TestSkipsAreCounted(t *testing.T) {
	found := map[string]int{}
	for _, f := range sources(t) {
		ast.Inspect(parse(t, filepath.Join("../..", f)), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				found[f]++
			}
			return true
		})
	}
	for f, n := range found {
		if n != allowedSkips[f] {
			t.Errorf("%s skips in %d places, %d are accounted for", f, n, allowedSkips[f])
		}
	}
	for f, n := range allowedSkips {
		if found[f] == 0 && n > 0 {
			t.Errorf("%s no longer skips: take it off the list", f)
		}
	}
}
