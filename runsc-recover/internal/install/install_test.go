package install

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// files is an /etc in memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (f files) carryOut(changes []Change) {
	for _, c := range changes {
		if c.New == nil {
			delete(f, c.Path)
		} else {
			f[c.Path] = string(c.New)
		}
	}
}

func engine(t *testing.T, name string) Engine {
	t.Helper()
	for _, e := range Engines() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no engine %s", name)
	return Engine{}
}

var runtime = Runtime{Name: "runsc-recover", Binary: "/usr/local/bin/runsc-recover", Args: []string{"--recover-interval=1s", "--recover-on=report,signal"}}

const dockerConfig = `{
  "log-driver": "local", "runtimes": {"other": {"path": "/o"}},
  "insecure-registries": [ "a<b" ]
}
`

const containerdConfig = `# ours
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni" # Debian's
`

// Whatever was there before, installing twice is installing once, and
// uninstalling takes back all that installing did.
func TestInstallAndUninstall(t *testing.T) {
	for name, cases := range map[string][]files{
		"docker":     {{}, {"/etc/docker/daemon.json": dockerConfig}, {"/etc/docker/daemon.json": "{}\n"}},
		"containerd": {{}, {"/etc/containerd/config.toml": containerdConfig}, {"/etc/containerd/config.toml": "version = 3"}},
		"podman":     {{}, {"/etc/containers/containers.conf.d/other.conf": "[engine]\n"}},
	} {
		for _, before := range cases {
			t.Run(name, func(t *testing.T) {
				e, etc := engine(t, name), maps.Clone(before)
				for _, rt := range []Runtime{runtime, {Name: runtime.Name, Binary: "/other"}, runtime} {
					changes, err := e.Plan("/etc", rt, etc.read)
					if err != nil || len(changes) == 0 {
						t.Fatalf("plan: %v, %v", changes, err)
					}
					etc.carryOut(changes)
					if again, err := e.Plan("/etc", rt, etc.read); err != nil || len(again) > 0 {
						t.Fatalf("a second time: %v, %v", again, err)
					}
				}
				changes, err := e.PlanRemoval("/etc", runtime.Name, etc.read)
				if err != nil {
					t.Fatal(err)
				}
				etc.carryOut(changes)
				compare(t, etc, before)
				if again, err := e.PlanRemoval("/etc", runtime.Name, etc.read); err != nil || len(again) > 0 {
					t.Errorf("removed a second time: %v, %v", again, err)
				}
			})
		}
	}
}

// compare ignores spacing in JSON, which docker's file may change, and an
// empty object, which means the same as no file.
func compare(t *testing.T, got, want files) {
	t.Helper()
	for _, f := range []files{got, want} {
		for path, text := range f {
			var b bytes.Buffer
			if strings.HasSuffix(path, ".json") && json.Compact(&b, []byte(text)) == nil {
				f[path] = b.String()
			}
			if f[path] == "{}" {
				delete(f, path)
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("afterwards there is %q, before there was %q", got, want)
	}
}

func TestDockerKeepsOtherSettings(t *testing.T) {
	etc := files{"/etc/docker/daemon.json": dockerConfig}
	changes, err := engine(t, "docker").Plan("/etc", runtime, etc.read)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		LogDriver string                   `json:"log-driver"`
		Insecure  []string                 `json:"insecure-registries"`
		Runtimes  map[string]dockerRuntime `json:"runtimes"`
	}
	if err := json.Unmarshal(changes[0].New, &got); err != nil {
		t.Fatal(err)
	}
	if got.LogDriver != "local" || len(got.Insecure) != 1 || got.Insecure[0] != "a<b" || got.Runtimes["other"].Path != "/o" {
		t.Errorf("other settings: %+v", got)
	}
	if rt := got.Runtimes["runsc-recover"]; rt.Path != runtime.Binary || strings.Join(rt.Args, " ") != "--recover-interval=1s --recover-on=report,signal" {
		t.Errorf("runtime: %+v", rt)
	}
}

func TestContainerdsConfiguration(t *testing.T) {
	etc := files{"/etc/containerd/config.toml": containerdConfig}
	rt := runtime
	rt.SystemdCgroup = true
	changes, err := engine(t, "containerd").Plan("/etc", rt, etc.read)
	if err != nil || len(changes) != 2 {
		t.Fatalf("%v, %v", changes, err)
	}
	wrapper, config := changes[0], changes[1]
	if !strings.HasPrefix(string(config.New), containerdConfig) {
		t.Errorf("the rest is another: %s", config.New)
	}
	var got struct {
		Plugins map[string]struct {
			Containerd struct {
				Runtimes map[string]struct {
					Type    string `toml:"runtime_type"`
					Options struct {
						BinaryName    string
						SystemdCgroup bool
					}
				}
			}
		}
	}
	if err := toml.Unmarshal(config.New, &got); err != nil {
		t.Fatal(err)
	}
	r := got.Plugins["io.containerd.grpc.v1.cri"].Containerd.Runtimes["runsc-recover"]
	if r.Type != "io.containerd.runc.v2" || r.Options.BinaryName != wrapper.Path || !r.Options.SystemdCgroup {
		t.Errorf("runtime: %+v", r)
	}
	want := "exec '/usr/local/bin/runsc-recover' '--recover-interval=1s' '--recover-on=report,signal' \"$@\"\n"
	if wrapper.Mode != 0o755 || !strings.HasSuffix(string(wrapper.New), want) {
		t.Errorf("wrapper %v: %s", wrapper.Mode, wrapper.New)
	}
}

// TestContainerdKeepsItsDefault adds runtimes to a configuration that names
// none, and takes them out again: containerd's default must be named meanwhile.
func TestContainerdKeepsItsDefault(t *testing.T) {
	e := engine(t, "containerd")
	const path, table = "/etc/containerd/config.toml", "runtimes.\"runc\"]"
	etc := files{path: containerdConfig}
	add := func(name string) {
		rt := runtime
		rt.Name = name
		changes, err := e.Plan("/etc", rt, etc.read)
		if err != nil {
			t.Fatal(err)
		}
		etc.carryOut(changes)
	}
	remove := func(name string) {
		changes, err := e.PlanRemoval("/etc", name, etc.read)
		if err != nil {
			t.Fatal(err)
		}
		etc.carryOut(changes)
	}
	for _, step := range []struct {
		do   func(string)
		name string
		want int
	}{{add, "a", 1}, {add, "b", 1}, {add, "a", 1}, {remove, "a", 1}, {remove, "b", 0}} {
		step.do(step.name)
		if n := strings.Count(etc[path], table); n != step.want {
			t.Errorf("the default is named %d times, want %d:\n%s", n, step.want, etc[path])
		}
	}
	if etc[path] != containerdConfig {
		t.Errorf("not taken back:\n%s", etc[path])
	}
	etc[path] = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.x]\nruntime_type = \"x\"\n"
	add("a")
	if strings.Contains(etc[path], table) {
		t.Errorf("a default beside runtimes of the user's:\n%s", etc[path])
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, engine, path, text, want string }{
		{"runsc-recover", "docker", "/etc/docker/daemon.json", "{", "not JSON"},
		{"runsc-recover", "docker", "/etc/docker/daemon.json", "[]", "not a JSON object"},
		{"runsc-recover", "docker", "/etc/docker/daemon.json", `{"runtimes":7}`, "not a JSON object"},
		{"runsc-recover", "containerd", "/etc/containerd/config.toml", "version =", "not TOML"},
		{"runsc-recover", "containerd", "/etc/containerd/config.toml", "oom_score = 1", "containerd config migrate"},
		{"runc", "containerd", "/etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\"\n", "may be there already"},
		{"a b", "podman", "", "", "runtime name"},
	} {
		rt := runtime
		rt.Name = c.name
		_, err := engine(t, c.engine).Plan("/etc", rt, files{c.path: c.text}.read)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v, want %q", c.engine, c.text, err, c.want)
		}
	}
}

func TestWriteDiff(t *testing.T) {
	c := Change{Path: "/etc/f", Old: []byte("a\nb\nc\nd\ne\nf\n"), New: []byte("a\nb\nc\nd\nX\nY\nf\n")}
	var b strings.Builder
	if err := c.WriteDiff(&b); err != nil {
		t.Fatal(err)
	}
	want := "--- /etc/f\n+++ /etc/f\n@@ -2,5 +2,6 @@\n b\n c\n d\n-e\n+X\n+Y\n f\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	c = Change{Path: "/etc/f", New: []byte("a\n")}
	if err := c.WriteDiff(&b); err != nil || b.String() != "--- /dev/null\n+++ /etc/f\n@@ -0,0 +1,1 @@\n+a\n" {
		t.Errorf("got\n%s%v", b.String(), err)
	}
}
