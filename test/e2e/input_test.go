package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/test/harness"
)

// Each of these is refused at create, with an error that names the mistake, and
// leaves nothing.
func TestBadBundles(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	for _, tc := range []struct {
		name  string
		spoil func(b *harness.Bundle)
		want  string // in the error
	}{
		{"no config.json", func(b *harness.Bundle) { os.Remove(filepath.Join(b.Dir, "config.json")) }, "config.json"},
		{"empty config.json", writeConfig(""), "config.json"},
		{"cut off config.json", writeConfig(`{"ociVersion": "1.2.0", "process": {`), "config.json"},
		{"config.json of another type", writeConfig(`[1, 2, 3]`), "config.json"},
		{"config.json of zeros", writeConfig(strings.Repeat("\x00", 1000)), "config.json"},
		{"no process", func(b *harness.Bundle) { b.Spec.Process = nil; b.Write() }, "process"},
		{"no arguments", func(b *harness.Bundle) { b.Spec.Process.Args = nil; b.Write() }, "args"},
		{"no root", func(b *harness.Bundle) { b.Spec.Root = nil; b.Write() }, "root"},
		{"missing rootfs", func(b *harness.Bundle) { os.RemoveAll(b.Rootfs()) }, "rootfs"},
		{"rootfs is a file", func(b *harness.Bundle) {
			os.RemoveAll(b.Rootfs())
			os.WriteFile(b.Rootfs(), nil, 0o644)
		}, "rootfs"},
		{"missing executable", func(b *harness.Bundle) { b.Spec.Process.Args = []string{"/bin/none"}; b.Write() }, "/bin/none"},
		{"executable not in PATH", func(b *harness.Bundle) { b.Spec.Process.Args = []string{"nowhere"}; b.Write() }, "nowhere"},
		{"executable is not one", func(b *harness.Bundle) { b.Spec.Process.Args = []string{"/image-file"}; b.Write() }, "image-file"},
		{"missing source of a mount", func(b *harness.Bundle) { b.Mount("/no/such/directory", "/mnt") }, "/no/such/directory"},
		{"unknown option", func(b *harness.Bundle) { b.Recover("colour", "blue") }, "colour"},
		{"interval is no duration", func(b *harness.Bundle) { b.Recover("interval", "often") }, "dev.runsc-recover.interval="},
		{"interval of zero", func(b *harness.Bundle) { b.Recover("interval", "0s") }, "10ms"},
		{"negative interval", func(b *harness.Bundle) { b.Recover("interval", "-1s") }, "interval"},
		{"overhead of nothing", func(b *harness.Bundle) { b.Recover("max-overhead", "NaN") }, "max-overhead"},
		{"retain nothing", func(b *harness.Bundle) { b.Recover("retain", "0") }, "retain"},
		{"retain too many", func(b *harness.Bundle) { b.Recover("retain", "99999999999999999999") }, "retain"},
		{"unknown trigger", func(b *harness.Bundle) { b.Recover("on", "report,boredom") }, "boredom"},
		{"uncatchable signal", func(b *harness.Bundle) { b.Recover("signal", "KILL") }, "signal"},
		{"unknown durability", func(b *harness.Bundle) { b.Recover("durability", "stone") }, "stone"},
		{"relative store", func(b *harness.Bundle) { b.Recover("store", "here") }, "store"},
		{"unknown end", func(b *harness.Bundle) { b.Recover("exhausted", "cry") }, "cry"},
	} {
		b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
		tc.spoil(b)
		r := rt.Try("create", "--bundle", b.Dir, rt.NewID())
		if r.Code != 1 || !strings.Contains(r.Stderr, tc.want) {
			t.Errorf("%s: want exit 1 and %q, got %v", tc.name, tc.want, r)
		}
	}
	rt.CheckLeaks()
}

func writeConfig(text string) func(*harness.Bundle) {
	return func(b *harness.Bundle) {
		if err := os.WriteFile(filepath.Join(b.Dir, "config.json"), []byte(text), 0o644); err != nil {
			panic(err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	for _, id := range []string{"", ".", "..", "a/b", "a b", "ä", "-x/", strings.Repeat("x", 2000), "a\nb"} {
		if r := rt.Try("create", "--bundle", b.Dir, id); r.Code == 0 {
			t.Errorf("id %q was accepted", id)
		}
	}
	for _, args := range [][]string{
		{"state"}, {"state", "a", "b"}, {"create"}, {"kill"}, {"list", "--format", "xml"}, {"--log-format", "xml", "list"},
		{"--rootless", "perhaps", "list"}, {"--recover-interval", "often", "create", "--bundle", b.Dir, "x"},
	} {
		if r := rt.Try(args...); r.Code != 1 || r.Stderr == "" {
			t.Errorf("%v", r)
		}
	}
	rt.Refused(1, "", "create", "--bundle", filepath.Join(rt.Dir, "none"), "x")
	for _, command := range []string{"start", "state", "pause", "resume", "ps", "events", "fail", "wait", "delete"} {
		rt.Refused(1, "container does not exist", command, "unknown")
	}
	rt.Refused(1, "container does not exist", "kill", "unknown", "TERM")
	rt.Refused(255, "container does not exist", "exec", "unknown", "/bin/true")
	rt.Refused(1, "container does not exist", "checkpoints", "list", "unknown")
	rt.Refused(1, "container does not exist", "episodes", "list", "unknown")
	rt.Do("delete", "--force", "unknown")
	rt.CheckLeaks()
}

func TestBadSignals(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve"))
	c.Says("ready", 1)
	for _, signal := range []string{"NONSENSE", "-1", "65", "9999999999"} {
		rt.Refused(1, "", "kill", c.ID, signal)
	}
	if s := c.State().Status; s != "running" {
		t.Errorf("status %s", s)
	}
}

// The log is one JSON object a line, and its last error is the reason.
func TestErrorsInTheJSONLog(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	log := filepath.Join(rt.Dir, "run.log")
	rt.Try("--log", log, "--log-format", "json", "state", "unknown")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var last struct{ Level, Msg string }
	for line := range strings.Lines(string(text)) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
	}
	if last.Level != "error" || last.Msg != "container does not exist" {
		t.Errorf("last line %+v", last)
	}
}

// A broken state file is an error of that container alone.
func TestABrokenStateFile(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	good := rt.Start(behave(rt, "serve"))
	if err := os.MkdirAll(filepath.Join(rt.Root, "broken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rt.Root, "broken", "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := rt.Try("state", "broken"); r.Code != 1 {
		t.Errorf("%v", r)
	}
	if out := rt.Do("list", "--quiet"); !strings.Contains(out, good.ID) {
		t.Errorf("list: %q", out)
	}
	rt.Do("delete", "--force", "broken")
}
