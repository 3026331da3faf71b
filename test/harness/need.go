package harness

import (
	"os"
	"os/exec"
	"testing"
)

// need is the one place where a test is skipped.
func need(t testing.TB, have bool, name string) {
	t.Helper()
	if !have {
		t.Skipf("needs %s", name)
	}
}

// NeedRoot skips the test unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	need(t, os.Geteuid() == 0, "root")
}

// NeedProgram skips the test unless the host has the program.
func NeedProgram(t testing.TB, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	need(t, err == nil, name)
}

// NeedSystemd skips the test unless systemd runs the host.
func NeedSystemd(t testing.TB) {
	t.Helper()
	_, err := os.Stat("/run/systemd/system")
	need(t, err == nil, "systemd")
}
