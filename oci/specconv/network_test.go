package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestNetworkNamespaceOf(t *testing.T) {
	with := func(ns ...specs.LinuxNamespace) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Namespaces: ns}}
	}
	fresh := specs.LinuxNamespace{Type: specs.NetworkNamespace}
	named := specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/var/run/netns/x"}
	for _, c := range []struct {
		name     string
		spec     *specs.Spec
		rootless bool
		want     NetworkNamespace
	}{
		{"no linux", &specs.Spec{}, false, NetworkNamespace{}},
		{"host", with(specs.LinuxNamespace{Type: specs.PIDNamespace}), false, NetworkNamespace{}},
		{"new", with(fresh), false, NetworkNamespace{Own: true}},
		{"new without privileges", with(fresh), true, NetworkNamespace{}},
		{"named", with(named), false, NetworkNamespace{Path: "/var/run/netns/x"}},
		{"named without privileges", with(named), true, NetworkNamespace{Path: "/var/run/netns/x"}},
	} {
		expect.Equal(t, c.name, NetworkNamespaceOf(c.spec, c.rootless), c.want)
	}
}

func TestSettleNetwork(t *testing.T) {
	for _, c := range []struct {
		name             string
		asked            config.Network
		shared, rootless bool
		want             config.Network
		code             errdefs.Code
	}{
		{"a namespace of its own", "sandbox", false, false, "sandbox", ""},
		{"its creator's", "sandbox", true, false, "host", ""},
		{"a stack of its own without privileges", "sandbox", false, true, "", errdefs.CodeUnsupported},
		{"the host's without privileges", "sandbox", true, true, "host", ""},
		{"none was asked for", "none", false, true, "none", ""},
		{"the host's was asked for", "host", false, false, "host", ""},
	} {
		got, err := SettleNetwork(c.asked, c.shared, c.rootless)
		expect.Equal(t, c.name, got, c.want)
		if c.code == "" {
			expect.Equal(t, c.name, err, nil)
		} else {
			expect.Equal(t, c.name, errdefs.CodeOf(err), c.code)
		}
	}
}

func TestPodHolder(t *testing.T) {
	of := func(kind string, args ...string) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Args: args}, Annotations: map[string]string{"io.kubernetes.cri.container-type": kind}}
	}
	expect.Equal(t, "pause", HoldsPod(of("sandbox", "/pause")), true)
	expect.Equal(t, "app", HoldsPod(of("container", "web")), false)
	expect.Equal(t, "podman's", HoldsPod(of("", "/catatonit", "-P")), true)
	expect.Equal(t, "podman's init", HoldsPod(of("", "/catatonit", "--", "web")), false)
}

func TestNetworkNamespaceIsReplaced(t *testing.T) {
	in := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}}}
	out := withNetworkNamespace(in, "/proc/42/ns/net")
	expect.Equal(t, "path given to sandboxes", out.Linux.Namespaces[0].Path, "/proc/42/ns/net")
	expect.Equal(t, "the original", in.Linux.Namespaces[0].Path, "")
}
