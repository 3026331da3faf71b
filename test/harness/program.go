package harness

import (
	"os"
	"syscall"
	"testing"
)

// WriteProgram writes a program that can be run as soon as it returns. A
// process that another test starts meanwhile would have the file open for
// writing until it runs a program of its own, and nobody can run a file that
// somebody writes to.
func WriteProgram(t testing.TB, path string, program []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, program, 0o755)
	syscall.ForkLock.RUnlock()
	must(t, err)
}
