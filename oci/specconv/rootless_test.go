package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestCheckRootless(t *testing.T) {
	one := []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
	many := []specs.LinuxIDMapping{{HostID: 1000, Size: 65536}}
	for _, c := range []struct {
		name    string
		linux   *specs.Linux
		systemd bool
		ok      bool
	}{
		{"nothing asked for", nil, false, true},
		{"the caller alone is mapped", &specs.Linux{UIDMappings: one, GIDMappings: one}, false, true},
		{"a range is mapped", &specs.Linux{UIDMappings: many}, false, false},
		{"two groups are mapped", &specs.Linux{GIDMappings: append(one, one...)}, false, false},
		{"systemd", &specs.Linux{}, true, false},
		{"a network namespace by path", &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/x"}}}, false, false},
	} {
		err := CheckRootless(&specs.Spec{Linux: c.linux}, c.systemd)
		expect.Equal(t, c.name, err == nil, c.ok)
		if err != nil {
			expect.Equal(t, c.name, errdefs.CodeOf(err), errdefs.CodeUnsupported)
		}
	}
}

func TestUserNamespaceIsLeftOut(t *testing.T) {
	in := &specs.Spec{Linux: &specs.Linux{
		UIDMappings: []specs.LinuxIDMapping{{HostID: 1000, Size: 1}},
		Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.UserNamespace}},
	}}
	out := withoutUserNamespace(in)
	expect.Equal(t, "namespaces", len(out.Linux.Namespaces), 1)
	expect.Equal(t, "mappings", len(out.Linux.UIDMappings), 0)
	expect.Equal(t, "namespaces of the original", len(in.Linux.Namespaces), 2)
}
