package rules

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

const (
	// maxFileLines is the length from which a file is hardly one concern.
	maxFileLines = 450
	// maxPackageLines is the length, without tests, from which nobody has read
	// all of a package before changing it.
	maxPackageLines = 2500
	// maxFuncLines is the length from which a function no longer fits a screen: a
	// long sequence becomes named phases.
	maxFuncLines = 80
)

// vagueNames say nothing of a package's job.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base"}

// programs are directories of small commands that nothing imports: their own
// comment need not name a limit.
var programs = []string{"examples/...", "test/guest/...", "tools/..."}

// allowedSkips counts the places where a test may skip, by file. A skip hides
// a test, so a new one is a decision that is written down here.
var allowedSkips = map[string]int{
	"checkpoint/store/disk_test.go":   1, // a small file system can be filled by root alone, who may mount it
	"sentry/dirtytrack/watch_test.go": 1, // a kernel before Linux 6.7 can't tell which pages were written
	"test/harness/need.go":            1, // the one place where the end-to-end tests name the missing parts of a host

	"runsc-recover/internal/sandbox/vethtest/vethtest.go":    1, // network namespaces need root
	"runsc-recover/internal/sandbox/rxqueue/rxqueue_test.go": 1, // large buffers need root
}

// TestEveryPackageHasAContract: a package exists because it may import, or must
// not know, something that others don't; its comment says so.
func TestEveryPackageHasAContract(t *testing.T) {
	docs := map[string]string{}
	for _, f := range goFiles(t) {
		if !f.isTest() {
			docs[f.dir()] += f.Doc.Text()
		}
	}
	for _, p := range packages(t) {
		doc, ok := docs[rel(p.ImportPath)]
		isProgram := p.Name == "main" && slices.ContainsFunc(programs, func(d string) bool { return matches(d, rel(p.ImportPath)) })
		switch {
		case !ok: // tests alone
		case doc == "":
			t.Errorf("%s has no package comment: say its contract", p.ImportPath)
		case !strings.Contains(doc, "must not") && !isProgram:
			t.Errorf("%s: the package comment names no limit: \"It must not know …\"", p.ImportPath)
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(vagueNames, p.Name) {
			t.Errorf("%s: the name %q says nothing of the package's job", p.ImportPath, p.Name)
		}
	}
}

func TestFilesAreOneConcern(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := f.lines(f.File); !f.isTest() && n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", f.name, n, maxFileLines)
		}
	}
}

func TestPackagesAreSmall(t *testing.T) {
	sizes := map[string]int{}
	for _, f := range goFiles(t) {
		if !f.isTest() {
			sizes[f.dir()] += f.lines(f.File)
		}
	}
	for dir, n := range sizes {
		if n > maxPackageLines {
			t.Errorf("%s has %d lines without tests, at most %d", dir, n, maxPackageLines)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.lines(fn) > maxFuncLines {
				t.Errorf("%s: %s has %d lines, at most %d", f.at(fn), fn.Name.Name, f.lines(fn), maxFuncLines)
			}
		}
	}
}

func TestSkipsAreCounted(t *testing.T) {
	found := map[string]int{}
	for _, f := range goFiles(t) {
		ast.Inspect(f.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				found[f.name]++
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
