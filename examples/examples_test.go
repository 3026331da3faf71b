package examples

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Without protection each program must die of its failure, with its work
// undone: otherwise it would show nothing under protection.
func TestUnprotected(t *testing.T) {
	all, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 5 {
		t.Errorf("found %d examples, want 5", len(all))
	}
	out := t.TempDir()
	if log, err := exec.Command("make", "OUT="+out).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, log)
	}
	for _, e := range all {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			stdout, exit := run(t, filepath.Join(out, e.Name), e.Args)
			if exit != e.Unprotected.Exit {
				t.Errorf("exit status %d, want %d", exit, e.Unprotected.Exit)
			}
			for _, want := range e.Unprotected.StdoutContains {
				if !strings.Contains(stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, stdout)
				}
			}
			if strings.Contains(stdout, ResultPrefix) {
				t.Errorf("it came to a result:\n%s", stdout)
			}
		})
	}
}

// The programs that can be told on the command line to avoid their failure give
// the result that is right.
func TestRightResult(t *testing.T) {
	all, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	for _, e := range all {
		if e.Name != "flush-cache" && e.Name != "safe-mode" {
			continue
		}
		if log, err := exec.Command("make", "OUT="+out, e.Name).CombinedOutput(); err != nil {
			t.Fatalf("make: %v\n%s", err, log)
		}
		stdout, exit := run(t, filepath.Join(out, e.Name), append(e.Args, "avoid"))
		result := e.Protected.StdoutContains[len(e.Protected.StdoutContains)-1]
		if exit != 0 || !strings.HasSuffix(stdout, result) {
			t.Errorf("%s: exit status %d, want 0; want %q at the end of\n%s", e.Name, exit, result, stdout)
		}
	}
}

// run returns the exit status as a shell does.
func run(t *testing.T, dir string, args []string) (stdout string, exit int) {
	t.Helper()
	var buf bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout = dir, &buf
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return buf.String(), 128 + int(status.Signal())
	}
	return buf.String(), status.ExitStatus()
}
