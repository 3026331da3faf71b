package specconv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

// The bundle's spec is for others too, such as a second conversion.
func TestConvertLeavesTheBundleAlone(t *testing.T) {
	rootfs := t.TempDir()
	if err := os.Mkdir(filepath.Join(rootfs, "secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	zero := uint64(0)
	spec := &specs.Spec{
		Process: &specs.Process{Args: []string{"web"}, Env: make([]string, 0, 9)},
		Mounts:  make([]specs.Mount, 0, 9),
		Linux: &specs.Linux{
			Namespaces:  []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.UserNamespace}, {Type: specs.UTSNamespace}},
			MaskedPaths: []string{"/secret"},
			Resources:   &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &zero}},
			Devices:     []specs.LinuxDevice{{Path: "/dev/fuse"}},
		},
	}
	before, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := statedir.ContainerDir("/root", "web")
	b := &oci.Bundle{Path: "/b", Rootfs: rootfs, Spec: spec}
	got, err := Convert(b, Options{Dir: dir, Notify: true, Rootless: true, NetworkNamespace: "/proc/7/ns/net"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(spec)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "the bundle's spec", string(after), string(before))

	expect.Equal(t, "mounts: readiness and a mask", len(got.Container.Mounts), 2)
	expect.Equal(t, "masks", got.Masks, true)
	expect.Equal(t, "variables", len(got.Container.Process.Env), 1)
	expect.Equal(t, "the container's namespaces", len(got.Container.Linux.Namespaces), 3)
	expect.Equal(t, "the sandbox's mounts", len(got.Sandbox.Mounts), 2)
	expect.Equal(t, "the sandbox's namespaces", len(got.Sandbox.Linux.Namespaces), 2)
	expect.Equal(t, "the network namespace", got.Sandbox.Linux.Namespaces[0].Path, "/proc/7/ns/net")
	expect.Equal(t, "shares", got.Resources.CPU.Shares, nil)
	expect.Equal(t, "warnings", len(got.Warnings), 1)
}
