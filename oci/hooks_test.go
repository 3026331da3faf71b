package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

func shell(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}}
}

func TestRunHooks(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	state := specs.State{ID: "web", Status: specs.StateCreated, Pid: 7}
	first := shell("cat >" + out + "; echo \"$X $HOME\" >>" + out)
	first.Env = []string{"X=1"}
	if err := RunHooks(t.Context(), "prestart", []specs.Hook{first, shell("echo second >>" + out)}, state); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ociVersion":"","id":"web","status":"created","pid":7,"bundle":""}1 ` + "\nsecond\n"
	if string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

func TestHookWithoutEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("LEAK", "1")
	if err := RunHooks(t.Context(), "poststop", []specs.Hook{shell("echo \"$LEAK\" >" + out)}, specs.State{}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "\n" {
		t.Errorf("hook saw %q, %v", b, err)
	}
}

func TestHookFailures(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	one := 1
	slow := shell("sleep 100")
	slow.Timeout = &one
	for name, c := range map[string]struct {
		hook specs.Hook
		text string
	}{
		"status":  {shell("echo why >&2; exit 3"), "exit status 3, stdout and stderr: why"},
		"missing": {specs.Hook{Path: "/does/not/exist"}, "no such file"},
		"timeout": {slow, "ran past timeout of 1.0s"},
	} {
		err := RunHooks(t.Context(), "createRuntime", []specs.Hook{shell("true"), c.hook, shell("touch " + out)}, specs.State{})
		if errdefs.CodeOf(err) != errdefs.CodeHook || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "createRuntime hook #1") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a hook ran after the one that failed", name)
		}
	}
}

func TestRunAllHooks(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	err := RunAllHooks(t.Context(), "poststop", []specs.Hook{shell("exit 1"), shell("touch " + out)}, specs.State{})
	if errdefs.CodeOf(err) != errdefs.CodeHook {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); err != nil {
		t.Error("a failed hook kept the next one from running")
	}
}

// TestHookOutputIsBounded uses more output than is kept.
func TestHookOutputIsBounded(t *testing.T) {
	err := RunHooks(t.Context(), "prestart", []specs.Hook{shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 1")}, specs.State{})
	if n := len(err.Error()); n > maxHookOutput+200 || !strings.Contains(err.Error(), "line 1999") {
		t.Errorf("error has %d bytes", n)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	for _, sizes := range [][]int{{}, {3}, {4}, {5}, {2, 2}, {3, 3, 3}, {9}, {1, 9, 1}} {
		tail, all := tail{limit: 4}, []byte{}
		for i, size := range sizes {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			all = append(all, p...)
			if n, err := tail.Write(p); n != size || err != nil {
				t.Errorf("%v: wrote %d, %v", sizes, n, err)
			}
		}
		if want := all[max(0, len(all)-4):]; !bytes.Equal(tail.b, want) {
			t.Errorf("%v: kept %q, want %q", sizes, tail.b, want)
		}
	}
}

// A hook's words are quoted as they are, whatever bytes they hold, and reach the
// creator as JSON.
func TestHookOutputMayBeAnything(t *testing.T) {
	err := RunHooks(t.Context(), "prestart", []specs.Hook{shell(`printf '\377\000\033[2J\nline'; exit 1`)}, specs.State{})
	e, ok := errors.AsType[*errdefs.Error](err)
	if !ok || !strings.Contains(e.Message, "\xff\x00\x1b[2J\nline") {
		t.Fatalf("error %q", err)
	}
	b, err := json.Marshal(e)
	if err != nil || !json.Valid(b) || !utf8.Valid(b) {
		t.Errorf("%q, %v", b, err)
	}
}
