package expect

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Update asks for golden and scenario files to be written with the results that
// there are. It is the flag -update of every test that imports this package.
var Update = flag.Bool("update", false, "write golden and scenario files with the results that there are")

// Golden compares got with the file of that name below testdata, which -update
// writes. A difference fails the test; a file that can't be read ends it.
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
