package specconv

import (
	"encoding/json"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestForGVisor(t *testing.T) {
	spec := &specs.Spec{
		Root:   &specs.Root{Path: "rootfs"},
		Hooks:  &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true"}}},
		Mounts: []specs.Mount{{Destination: "/data", Source: "data", Options: []string{"rbind"}}},
		Linux:  &specs.Linux{Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess}},
		Annotations: map[string]string{
			"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod",
			"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "pod",
			"dev.gvisor.spec.mount.tmp.type": "tmpfs",
		},
	}
	before := text(t, spec)
	got, err := forGVisor(spec, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "spec", text(t, got), text(t, &specs.Spec{
		Root:   &specs.Root{Path: "/bundle/rootfs"},
		Mounts: []specs.Mount{{Destination: "/data", Type: "bind", Source: "/bundle/data", Options: []string{"rbind"}}},
		Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{
			DefaultAction: specs.ActKill,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"recover"}, Action: specs.ActAllow}},
		}},
		Annotations: map[string]string{"dev.gvisor.spec.mount.tmp.type": "tmpfs"},
	}))
	expect.Equal(t, "the bundle's", text(t, spec), before)

	spec.Linux.Seccomp.DefaultAction = specs.ActNotify
	_, err = forGVisor(spec, "/bundle")
	expect.Equal(t, "code of an action without an equivalent", errdefs.CodeOf(err), errdefs.CodeUnsupported)
}

func text(t *testing.T, spec *specs.Spec) string {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
