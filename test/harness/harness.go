// Package harness drives runsc-recover through its command line, as any other
// caller does, in a directory of its own, and checks at the end of a test that
// nothing is left: no process, mount, cgroup or file.
//
// It must not know the project's packages: its knowledge of the runtime is the
// promises of the command line. A Runtime, its bundles and containers belong to
// one test and its goroutine, but for NewID and the commands, which may be run
// at once. The package has no locks and starts no goroutines.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CommandTimeout bounds every command.
func CommandTimeout() time.Duration { return patience(60 * time.Second) }

// patience is how long to wait for an event that takes at most d on an ordinary
// machine. HARNESS_PATIENCE in the environment is how many times slower this
// machine may be.
func patience(d time.Duration) time.Duration {
	times, err := strconv.Atoi(os.Getenv("HARNESS_PATIENCE"))
	if err != nil {
		return d
	}
	return d * time.Duration(max(times, 1))
}

// Runtime is runsc-recover with a --root of its own.
type Runtime struct {
	t       testing.TB
	Binary  string
	Module  string   // the repository's root
	Dir     string   // all files of this test lie here
	Root    string   // --root
	Globals []string // further global flags of every command

	containers atomic.Int32
}

// New makes a Runtime for the test and arranges for all of its containers and
// files to be removed, and for the test to fail if anything is left. The test
// process becomes a subreaper, as a containerd shim is one. HARNESS_BINARY in
// the environment names another binary than bin/runsc-recover; HARNESS_DEBUG
// makes the binary log for debugging.
func New(t testing.TB) *Runtime {
	t.Helper()
	NeedRoot(t)
	module := moduleRoot(t)
	rt := &Runtime{t: t, Module: module, Binary: filepath.Join(module, "bin", "runsc-recover")}
	if binary := os.Getenv("HARNESS_BINARY"); binary != "" {
		rt.Binary = binary
	}
	// In every test all checkpoints are compared with all of memory.
	rt.Globals = []string{"--recover-verify", "true"}
	if os.Getenv("HARNESS_DEBUG") != "" {
		rt.Globals = append(rt.Globals, "--debug")
	}
	if _, err := os.Stat(rt.Binary); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatalf("become subreaper: %v", err)
	}
	// Not t.TempDir: a unix socket's path may not be longer than 107 bytes.
	dir, err := os.MkdirTemp("", "rr-")
	if err != nil {
		t.Fatal(err)
	}
	rt.Dir, rt.Root = dir, filepath.Join(dir, "root")
	t.Cleanup(func() { rt.finish() })
	return rt
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("the tests run inside the repository")
	return ""
}

// Result is the end of a command.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int
}

// String is for messages of failed tests.
func (r Result) String() string {
	return fmt.Sprintf("%s: exit %d\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// Command prepares a command without running it.
func (rt *Runtime) Command(ctx context.Context, args ...string) *exec.Cmd {
	all := append(append([]string{"--root", rt.Root}, rt.Globals...), args...)
	cmd := exec.CommandContext(ctx, rt.Binary, all...)
	// Marks every process that descends from here, for the search for leaks.
	cmd.Env = append(os.Environ(), "RUNSC_RECOVER_TEST="+rt.Dir)
	cmd.Dir = rt.Dir
	return cmd
}

// Try runs a command and returns its result, be it an error.
func (rt *Runtime) Try(args ...string) Result {
	rt.t.Helper()
	return rt.TryInput("", args...)
}

// TryInput is Try with something on stdin.
func (rt *Runtime) TryInput(stdin string, args ...string) Result {
	rt.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout())
	defer cancel()
	cmd := rt.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	// A process left behind that holds the pipe must not hold the test.
	cmd.WaitDelay = patience(time.Second)
	err := cmd.Run()
	r := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		rt.t.Errorf("%s: not over after %v", strings.Join(args, " "), CommandTimeout())
	} else if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		rt.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return r
}

// Do runs a command that must work and returns its output.
func (rt *Runtime) Do(args ...string) string {
	rt.t.Helper()
	r := rt.Try(args...)
	if r.Code != 0 {
		rt.t.Fatalf("%v", r)
	}
	return r.Stdout
}

// Refused runs a command that must fail with the given exit code and print want
// on stderr.
func (rt *Runtime) Refused(code int, want string, args ...string) {
	rt.t.Helper()
	r := rt.Try(args...)
	if r.Code != code || !strings.Contains(r.Stderr, want) {
		rt.t.Errorf("want exit %d and %q, got %v", code, want, r)
	}
}

// JSON runs a command that must work and decodes its output.
func JSON[T any](rt *Runtime, args ...string) T {
	rt.t.Helper()
	var v T
	out := rt.Do(args...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		rt.t.Fatalf("%s: %v in %q", strings.Join(args, " "), err, out)
	}
	return v
}

// Guest is the path of a guest program.
func (rt *Runtime) Guest(name string) string {
	rt.t.Helper()
	p := filepath.Join(rt.Module, "build", "guest", name)
	if _, err := os.Stat(p); err != nil {
		rt.t.Fatalf("%v: run make guests", err)
	}
	return p
}

// Until waits for a condition, which is called again and again. When it doesn't
// come true in time the test ends with the condition's name and its last answer.
func Until(t testing.TB, timeout time.Duration, name string, condition func() (ok bool, last string)) {
	t.Helper()
	timeout = patience(timeout)
	deadline := time.Now().Add(timeout)
	for {
		ok, last := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v; last: %s", name, timeout, last)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
