package specconv

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/expect"
)

func TestWithNetNS(t *testing.T) {
	in := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}}}
	out := WithNetNS(in, "/proc/42/ns/net")
	expect.Equal(t, "path given to sandboxes", out.Linux.Namespaces[0].Path, "/proc/42/ns/net")
	expect.Equal(t, "the original", in.Linux.Namespaces[0].Path, "")
}

func TestWithoutUserNS(t *testing.T) {
	in := &specs.Spec{Linux: &specs.Linux{
		UIDMappings: []specs.LinuxIDMapping{{HostID: 1000, Size: 1}},
		Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.UserNamespace}},
	}}
	out := WithoutUserNS(in)
	expect.Equal(t, "namespaces", len(out.Linux.Namespaces), 1)
	expect.Equal(t, "mappings", len(out.Linux.UIDMappings), 0)
	expect.Equal(t, "namespaces of the original", len(in.Linux.Namespaces), 2)
}

func TestWarnings(t *testing.T) {
	spec := &specs.Spec{
		Mounts: []specs.Mount{{Source: "/run/a.sock"}, {Source: "/srv"}},
		Linux: &specs.Linux{
			Devices:   []specs.LinuxDevice{{Path: "/dev/fuse"}, {Path: "/dev/kvm"}},
			Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 20}},
		},
	}
	got := strings.Join(Warnings(spec, func(path string) bool { return path == "/run/a.sock" }), "\n")
	for _, want := range []string{"/run/a.sock", "/dev/fuse, /dev/kvm", "limit of 20"} {
		expect.Equal(t, want, strings.Contains(got, want), true)
	}
	expect.Equal(t, "lines", strings.Count(got, "\n"), 2)
	expect.Equal(t, "none", len(Warnings(&specs.Spec{Linux: &specs.Linux{}}, IsSocket)), 0)
}
