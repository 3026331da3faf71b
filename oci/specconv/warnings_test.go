package specconv

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/expect"
)

func TestWarnings(t *testing.T) {
	spec := &specs.Spec{
		Mounts: []specs.Mount{{Source: "/run/a.sock"}, {Source: "/srv"}},
		Linux: &specs.Linux{
			Devices:   []specs.LinuxDevice{{Path: "/dev/fuse"}, {Path: "/dev/kvm"}},
			Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 20}},
		},
	}
	got := strings.Join(warn(spec, func(path string) bool { return path == "/run/a.sock" }), "\n")
	for _, want := range []string{"/run/a.sock", "/dev/fuse, /dev/kvm", "limit of 20"} {
		expect.Equal(t, want, strings.Contains(got, want), true)
	}
	expect.Equal(t, "lines", strings.Count(got, "\n"), 2)
	expect.Equal(t, "none", len(warn(&specs.Spec{Linux: &specs.Linux{}}, isSocket)), 0)
}
