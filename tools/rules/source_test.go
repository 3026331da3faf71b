package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// goFile is a parsed Go file, with its comments.
type goFile struct {
	*ast.File
	name string // relative to the module's root
	set  *token.FileSet
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// dir is the directory, which is the package's path in the module.
func (f goFile) dir() string { return path.Dir(f.name) }

// at is the place of a node, for an editor.
func (f goFile) at(n ast.Node) token.Position { return f.set.Position(n.Pos()) }

// lines is the number of lines that a node takes; all of them for the file.
func (f goFile) lines(n ast.Node) int {
	if n == f.File {
		return f.set.File(f.Pos()).LineCount()
	}
	return f.set.Position(n.End()).Line - f.at(n).Line + 1
}

// goFiles parses the tracked Go files, and those that are about to be.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var files []goFile
	for name := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		f := goFile{name: name, set: token.NewFileSet()}
		if f.File, err = parser.ParseFile(f.set, name, text, parser.ParseComments); err != nil {
			t.Fatalf("parse %s: %v", name, err)
		}
		files = append(files, f)
	}
	return files
}
