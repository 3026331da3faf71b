// Package sdk runs the tests of the libraries in other languages, so that one
// go command covers them all.
package sdk

import (
	"os/exec"
	"testing"
)

func TestC(t *testing.T) {
	run(t, "c", "make", "BUILD="+t.TempDir(), "test")
}

func TestPython(t *testing.T) {
	run(t, "python", "/usr/bin/python3", "-B", "-m", "unittest")
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
}
