package expect

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Update says that golden and scenario files are to be written as things are.
// It is the flag -update of every test that imports this package.
var Update = flag.Bool("update", false, "write golden and scenario files as things are")

// Golden compares got with the file name below testdata, which -update writes.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *Update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}
