package specconv

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
)

func TestConfinedPaths(t *testing.T) {
	dir := t.TempDir()
	rootfs, volume := filepath.Join(dir, "rootfs"), filepath.Join(dir, "volume")
	for _, d := range []string{filepath.Join(rootfs, "secrets/of"), filepath.Join(rootfs, "proc"), filepath.Join(rootfs, "etc"), volume} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{filepath.Join(rootfs, "etc/key"), filepath.Join(rootfs, "proc/kcore"), filepath.Join(volume, "data")} {
		if err := os.WriteFile(f, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "/etc/key", "out": "../../volume"} {
		if err := os.Symlink(to, filepath.Join(rootfs, link)); err != nil {
			t.Fatal(err)
		}
	}
	b := &oci.Bundle{Path: dir, Rootfs: rootfs, Spec: &specs.Spec{
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc"}, {Destination: "/vol", Type: "bind", Source: "volume"}, {Destination: "/etc/hosts", Type: "bind", Source: "/host"}, {Destination: "/hostproc", Type: "bind", Source: "/proc"}},
		Linux: &specs.Linux{
			MaskedPaths:   []string{"/secrets", "/secrets/of", "/link", "/proc/kcore", "/nosuch", "/out"},
			ReadonlyPaths: []string{"/etc", "/vol/data", "/proc/sys", "/hostproc/fs"},
		},
	}}
	ro := []string{"rbind", "ro"}
	want := []specs.Mount{
		{Destination: "/etc", Type: "bind", Source: filepath.Join(rootfs, "etc"), Options: ro},
		{Destination: "/etc/hosts", Type: "bind", Source: "/host"},
		{Destination: "/vol/data", Type: "bind", Source: filepath.Join(volume, "data"), Options: ro},
		{Destination: "/secrets", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid", "nodev", "noexec"}},
		{Destination: "/etc/key", Type: "bind", Source: "/empty", Options: []string{"bind", "ro"}},
	}
	if got := confinedPaths(b.Tree(), b.Spec.Linux, "/empty"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
