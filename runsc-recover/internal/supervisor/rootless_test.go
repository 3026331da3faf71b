package supervisor

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestCheckRootless(t *testing.T) {
	one := []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
	many := []specs.LinuxIDMapping{{HostID: 1000, Size: 65536}}
	rootless, root := SpawnOptions{Rootless: true}, SpawnOptions{}
	for _, c := range []struct {
		name  string
		linux *specs.Linux
		opts  SpawnOptions
		ok    bool
	}{
		{"nothing asked for", nil, rootless, true},
		{"the caller alone is mapped", &specs.Linux{UIDMappings: one, GIDMappings: one}, rootless, true},
		{"a range is mapped", &specs.Linux{UIDMappings: many}, rootless, false},
		{"two groups are mapped", &specs.Linux{GIDMappings: append(one, one...)}, rootless, false},
		{"a range is mapped by root", &specs.Linux{UIDMappings: many}, root, true},
		{"systemd", &specs.Linux{}, SpawnOptions{Rootless: true, SystemdCgroup: true}, false},
		{"a network namespace by path", &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/x"}}}, rootless, false},
	} {
		err := checkRootless(&specs.Spec{Linux: c.linux}, c.opts)
		expect.Equal(t, c.name, err == nil, c.ok)
		if err != nil {
			expect.Equal(t, c.name, errdefs.CodeOf(err), errdefs.CodeUnsupported)
		}
	}
}
