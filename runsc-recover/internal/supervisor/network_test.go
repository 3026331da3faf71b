package supervisor

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/host/netns"
	"runsc-recover/test/expect"
)

func TestNetworkStack(t *testing.T) {
	with := func(path string) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: path}}}}
	}
	none := &specs.Spec{Linux: &specs.Linux{}}
	for _, c := range []struct {
		name     string
		spec     *specs.Spec
		mode     config.Network
		rootless bool
		want     config.Network
		code     errdefs.Code
	}{
		{"a namespace of its own", with(""), "sandbox", false, "sandbox", ""},
		{"no namespace of its own", none, "sandbox", false, "host", ""},
		{"the creator's by path", with(netns.Current), "sandbox", false, "host", ""},
		{"a path that isn't there", with("/no/such/file"), "sandbox", false, "", errdefs.CodeConfigInvalid},
		{"a stack of its own without privileges", with(""), "sandbox", true, "", errdefs.CodeUnsupported},
		{"the host's without privileges", none, "sandbox", true, "host", ""},
		{"none was asked for", none, "none", true, "none", ""},
		{"the host's was asked for", with(""), "host", false, "host", ""},
	} {
		got, err := networkStack(c.spec, c.mode, c.rootless)
		expect.Equal(t, c.name, got, c.want)
		if c.code == "" {
			expect.Equal(t, c.name, err, nil)
		} else {
			expect.Equal(t, c.name, errdefs.CodeOf(err), c.code)
		}
	}
}
