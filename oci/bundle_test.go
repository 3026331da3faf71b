package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// goodSpec is a spec whose program is /bin/prog in the bundle's rootfs.
func goodSpec() *specs.Spec {
	return &specs.Spec{
		Version: "1.2.0",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"prog"}, Cwd: "/", Env: []string{"PATH=/none:/bin"}},
		Linux:   &specs.Linux{},
	}
}

// makeBundle writes a bundle; change may alter its spec.
func makeBundle(t *testing.T, change func(*specs.Spec)) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rootfs/bin/prog"), 0o755)
	spec := goodSpec()
	if change != nil {
		change(spec)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!"), mode); err != nil {
		t.Fatal(err)
	}
}

func TestLoadBundle(t *testing.T) {
	dir := makeBundle(t, nil)
	b, err := LoadBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Path != dir || b.Rootfs != filepath.Join(dir, "rootfs") || b.Spec.Process.Args[0] != "prog" {
		t.Errorf("got %+v", b)
	}
	t.Chdir(dir)
	if b, err := LoadBundle(""); err != nil || b.Path != dir {
		t.Errorf("current directory: %+v, %v", b, err)
	}
}

func TestLoadBundleRefuses(t *testing.T) {
	empty := t.TempDir()
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, ConfigFile), []byte("{\n\n\"process\": [}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		code errdefs.Code
		text string
	}{
		"no directory": {filepath.Join(empty, "missing"), errdefs.CodeBundle, "missing"},
		"no config":    {empty, errdefs.CodeConfigMissing, "config.json"},
		"broken JSON":  {broken, errdefs.CodeConfigInvalid, "line 3"},
		"wrong type":   {makeBundle(t, func(s *specs.Spec) { s.Version = "" }), errdefs.CodeConfigInvalid, "ociVersion"},
		"future":       {makeBundle(t, func(s *specs.Spec) { s.Version = "2.0.0" }), errdefs.CodeConfigInvalid, "2.0.0"},
		"no process":   {makeBundle(t, func(s *specs.Spec) { s.Process = nil }), errdefs.CodeConfigInvalid, "process"},
		"no args":      {makeBundle(t, func(s *specs.Spec) { s.Process.Args = nil }), errdefs.CodeConfigInvalid, "process.args"},
		"empty arg":    {makeBundle(t, func(s *specs.Spec) { s.Process.Args[0] = "" }), errdefs.CodeConfigInvalid, "process.args"},
		"relative cwd": {makeBundle(t, func(s *specs.Spec) { s.Process.Cwd = "x" }), errdefs.CodeConfigInvalid, "process.cwd"},
		"no root":      {makeBundle(t, func(s *specs.Spec) { s.Root = nil }), errdefs.CodeConfigInvalid, "root.path"},
		"no rootfs":    {makeBundle(t, func(s *specs.Spec) { s.Root.Path = "gone" }), errdefs.CodeRootfsMissing, "gone"},
		"mount":        {makeBundle(t, func(s *specs.Spec) { s.Mounts = []specs.Mount{{}} }), errdefs.CodeConfigInvalid, "mounts[0]"},
		"source": {makeBundle(t, func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "gone", Options: []string{"rbind"}}}
		}), errdefs.CodeConfigInvalid, "gone"},
		"rlimit": {makeBundle(t, func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FOO"}}
		}), errdefs.CodeConfigInvalid, "RLIMIT_FOO"},
		"rlimit order": {makeBundle(t, func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 2, Hard: 1}}
		}), errdefs.CodeConfigInvalid, "rlimits[0]"},
		"capability": {makeBundle(t, func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_FLY"}}
		}), errdefs.CodeConfigInvalid, "CAP_FLY"},
		"no program": {makeBundle(t, func(s *specs.Spec) { s.Process.Args[0] = "gone" }), errdefs.CodeExecutable, "executable file not found in $PATH"},
	} {
		b, err := LoadBundle(c.dir)
		if err == nil || errdefs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %+v, error %v (code %s), want code %s and %q", name, b, err, errdefs.CodeOf(err), c.code, c.text)
		}
	}
}

// FuzzParseSpec checks that a spec that is accepted holds the fields that others
// rely on.
func FuzzParseSpec(f *testing.F) {
	b, err := json.Marshal(goodSpec())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"ociVersion":"1.0.0","process":{"args":["x"],"cwd":"/"},"root":{"path":"r"}}`))
	f.Add([]byte(`{"process":null}`))
	f.Add([]byte("{\"ociVersion\": \n 3}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		spec, err := ParseSpec(b)
		if err != nil {
			if errdefs.CodeOf(err) != errdefs.CodeConfigInvalid {
				t.Errorf("code %s: %v", errdefs.CodeOf(err), err)
			}
			return
		}
		if spec.Process == nil || len(spec.Process.Args) == 0 || spec.Process.Args[0] == "" || spec.Root == nil || spec.Root.Path == "" || spec.Linux == nil {
			t.Errorf("accepted %s", b)
		}
		_ = FindExecutable(t.TempDir(), spec) // must not panic
	})
}

func TestFindExecutable(t *testing.T) {
	rootfs, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(rootfs, "bin/prog"), 0o755)
	write(t, filepath.Join(rootfs, "bin/data"), 0o644)
	write(t, filepath.Join(rootfs, "work/tool"), 0o755)
	write(t, filepath.Join(outside, "secret"), 0o755)
	write(t, filepath.Join(outside, "init"), 0o755)
	for name, target := range map[string]string{
		"bin/abs":    "/bin/prog",
		"bin/rel":    "../bin/prog",
		"bin/high":   "../../../../bin/prog",
		"bin/escape": outside + "/secret",
		"bin/loop":   "loop",
		"bin/dang":   "nothing",
		"lib":        "bin",
		"bin/inproc": "/proc/self/exe",
	} {
		if err := os.Symlink(target, filepath.Join(rootfs, name)); err != nil {
			t.Fatal(err)
		}
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc"},
		{Destination: "/sbin/init", Source: filepath.Join(outside, "init"), Options: []string{"rbind"}},
		{Destination: "/opt", Type: "bind", Source: outside},
		{Destination: "/later", Type: "bind", Source: "/does/not/exist"},
	}
	const path = "PATH=/work:/bin:/opt"
	for _, c := range []struct {
		name, env, cwd string
		want           errdefs.Code // "" for found
	}{
		{"prog", path, "/", ""},
		{"/bin/prog", path, "/", ""},
		{"tool", path, "/", ""},
		{"./tool", path, "/work", ""},
		{"./tool", path, "/bin", errdefs.CodeExecutable},
		{"prog", "PATH=/work", "/", errdefs.CodeExecutable},
		{"prog", "X=1", "/", ""},
		{"tool", "PATH=.", "/work", ""},
		{"data", path, "/", errdefs.CodeNotExecutable},
		{"/bin/data", path, "/", errdefs.CodeNotExecutable},
		{"/bin", path, "/", errdefs.CodeNotExecutable},
		{"/bin/prog/x", path, "/", errdefs.CodeExecutable},
		{"abs", path, "/", ""},
		{"rel", path, "/", ""},
		{"high", path, "/", ""},
		{"/lib/prog", path, "/", ""},
		{"/bin/escape", path, "/", errdefs.CodeExecutable},
		{"/bin/loop", path, "/", errdefs.CodeExecutable},
		{"/bin/dang", path, "/", errdefs.CodeExecutable},
		{"/bin/inproc", path, "/", ""},
		{"/proc/self/exe", path, "/", ""},
		{"/sbin/init", path, "/", ""},
		{"secret", path, "/", ""},
		{"/opt/missing", path, "/", errdefs.CodeExecutable},
		{"/later/prog", path, "/", ""},
	} {
		spec := &specs.Spec{Process: &specs.Process{Args: []string{c.name}, Env: []string{c.env}, Cwd: c.cwd}, Mounts: mounts}
		err := FindExecutable(rootfs, spec)
		if c.want == "" && err != nil || c.want != "" && errdefs.CodeOf(err) != c.want {
			t.Errorf("%s with %s in %s: %v, want code %q", c.name, c.env, c.cwd, err, c.want)
		}
	}
}
