package supervisor

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/runsc-recover/internal/host/netns"
	"runsc-recover/test/expect"
)

func TestPlanNetwork(t *testing.T) {
	with := func(ns ...specs.LinuxNamespace) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Namespaces: ns}}
	}
	fresh := specs.LinuxNamespace{Type: specs.NetworkNamespace}
	named := specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/var/run/netns/x"}
	for _, c := range []struct {
		name     string
		spec     *specs.Spec
		rootless bool
		want     netns.Plan
	}{
		{"no linux", &specs.Spec{}, false, netns.Plan{}},
		{"host", with(specs.LinuxNamespace{Type: specs.PIDNamespace}), false, netns.Plan{}},
		{"new", with(fresh), false, netns.Plan{Own: true}},
		{"new without privileges", with(fresh), true, netns.Plan{}},
		{"named", with(named), false, netns.Plan{Path: "/var/run/netns/x"}},
		{"named without privileges", with(named), true, netns.Plan{Path: "/var/run/netns/x"}},
	} {
		expect.Equal(t, c.name, planNetwork(c.spec, c.rootless), c.want)
	}
}

func TestPodHolder(t *testing.T) {
	of := func(kind string, args ...string) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Args: args}, Annotations: map[string]string{"io.kubernetes.cri.container-type": kind}}
	}
	expect.Equal(t, "pause", isInfra(of("sandbox", "/pause")), true)
	expect.Equal(t, "app", isInfra(of("container", "web")), false)
	expect.Equal(t, "podman's", isInfra(of("", "/catatonit", "-P")), true)
	expect.Equal(t, "podman's init", isInfra(of("", "/catatonit", "--", "web")), false)
}
