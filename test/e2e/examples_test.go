package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runsc-recover/test/harness"
)

// outcome is the end of a run that example.json asks for.
type outcome struct {
	Exit           int      `json:"exit"`
	StdoutContains []string `json:"stdout_contains"`
}

// example is an example.json. A rootfs of "empty" holds the example's own
// files, one of "host" the host's programs as well.
type example struct {
	Rootfs      string   `json:"rootfs"`
	Args        []string `json:"args"`
	Protected   outcome  `json:"protected"`
	Unprotected outcome  `json:"unprotected"`
}

// Each example comes to the right result in a container, and dies without the
// runtime.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*/example.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := harness.New(t)
			ex := loadExample(t, file)
			protected := rt.Start(exampleBundle(rt, name, ex))
			finishes(t, protected, ex.Protected)
			if e := protected.Episodes(); len(e) == 0 {
				t.Error("it was never rolled back")
			}
			diesUnprotected(t, rt, name, ex)
		})
	}
}

func loadExample(t *testing.T, file string) example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var ex example
	if err := json.Unmarshal(text, &ex); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return ex
}

func exampleBundle(rt *harness.Runtime, name string, ex example) *harness.Bundle {
	var b *harness.Bundle
	if ex.Rootfs == "host" {
		b = rt.Host(ex.Args...)
	} else {
		b = rt.Bundle(ex.Args)
	}
	b.Spec.Process.Cwd = "/example"
	return b.Mount(filepath.Join(rt.Module, "build", "examples", name), "/example", "ro")
}

func finishes(t *testing.T, c *harness.Container, want outcome) {
	t.Helper()
	c.Exits(want.Exit)
	printed(t, c.Output(), want)
}

func printed(t *testing.T, output string, want outcome) {
	t.Helper()
	for _, text := range want.StdoutContains {
		if !strings.Contains(output, text) {
			t.Errorf("%q is not in\n%s", text, output)
		}
	}
}

// diesUnprotected runs the example on the host.
func diesUnprotected(t *testing.T, rt *harness.Runtime, name string, ex example) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.CommandTimeout())
	defer cancel()
	var args []string
	for _, a := range ex.Args {
		args = append(args, strings.Replace(a, "/tmp/", rt.Dir+"/", 1))
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.Join(rt.Module, "build", "examples", name)
	out, _ := cmd.CombinedOutput() // how it ended is checked below
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	if status != ex.Unprotected.Exit {
		t.Errorf("unprotected it ended with %d, want %d: %s", status, ex.Unprotected.Exit, out)
	}
	printed(t, string(out), ex.Unprotected)
}
