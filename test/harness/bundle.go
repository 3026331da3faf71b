package harness

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// AnnotationPrefix begins the annotations that configure recovery.
const AnnotationPrefix = "dev.runsc-recover."

// Bundle is an OCI bundle being made. Its fields may be changed until the
// first command that uses it; Write makes later changes count.
type Bundle struct {
	t    testing.TB
	Dir  string
	Spec *specs.Spec
}

// Rootfs is the path of a file of the bundle's root file system on the host.
func (b *Bundle) Rootfs(elem ...string) string {
	return filepath.Join(append([]string{b.Dir, "rootfs"}, elem...)...)
}

// Bundle makes a bundle of a few files: the guest programs named, and those that
// a program expects of a Linux system.
func (rt *Runtime) Bundle(args []string, guests ...string) *Bundle {
	rt.t.Helper()
	dir, err := os.MkdirTemp(rt.Dir, "bundle-")
	if err != nil {
		rt.t.Fatal(err)
	}
	b := &Bundle{t: rt.t, Dir: dir, Spec: baseSpec(args)}
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "etc"} {
		must(rt.t, os.MkdirAll(b.Rootfs(d), 0o755))
	}
	must(rt.t, os.WriteFile(b.Rootfs("etc/passwd"), []byte("root:x:0:0:root:/:/bin/sh\n"), 0o644))
	must(rt.t, os.WriteFile(b.Rootfs("image-file"), []byte("from the image"), 0o644))
	for _, g := range guests {
		copyFile(rt.t, rt.Guest(g), b.Rootfs("bin", g))
	}
	b.Write()
	return b
}

// Shell makes a bundle whose program is a busybox shell script.
func (rt *Runtime) Shell(script string, guests ...string) *Bundle {
	rt.t.Helper()
	NeedProgram(rt.t, "busybox")
	b := rt.Bundle([]string{"/bin/sh", "-c", script}, guests...)
	copyFile(rt.t, "/bin/busybox", b.Rootfs("bin/busybox"))
	for _, applet := range []string{"sh", "cat", "echo", "sleep", "ls", "kill", "ps", "stty", "wget", "tty", "id", "env", "true", "false", "test", "mkdir", "touch", "tr", "dd", "head", "ip"} {
		must(rt.t, os.Symlink("busybox", b.Rootfs("bin", applet)))
	}
	return b
}

// Host makes a bundle that sees the host's programs, read-only, so that real
// ones run in it.
func (rt *Runtime) Host(args ...string) *Bundle {
	rt.t.Helper()
	b := rt.Bundle(args)
	must(rt.t, os.RemoveAll(b.Rootfs("bin")))
	must(rt.t, os.RemoveAll(b.Rootfs("etc")))
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		must(rt.t, os.Symlink("usr/"+d, b.Rootfs(d)))
	}
	for _, d := range []string{"/usr", "/etc"} {
		must(rt.t, os.MkdirAll(b.Rootfs(d), 0o755))
		b.Mount(d, d, "ro")
	}
	must(rt.t, os.MkdirAll(b.Rootfs("var/lib"), 0o755))
	must(rt.t, os.MkdirAll(b.Rootfs("var/log"), 0o755))
	b.Write()
	return b
}

// Mount binds a host directory or file into the container.
func (b *Bundle) Mount(source, destination string, options ...string) *Bundle {
	b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{
		Source: source, Destination: destination, Type: "bind", Options: append([]string{"rbind"}, options...),
	})
	b.Write()
	return b
}

// Recover sets a recovery option of the container.
func (b *Bundle) Recover(name, value string) *Bundle {
	b.Spec.Annotations[AnnotationPrefix+name] = value
	b.Write()
	return b
}

// Write writes config.json as the Spec is now.
func (b *Bundle) Write() *Bundle {
	b.t.Helper()
	text, err := json.MarshalIndent(b.Spec, "", "\t")
	must(b.t, err)
	must(b.t, os.WriteFile(filepath.Join(b.Dir, "config.json"), text, 0o644))
	return b
}

func baseSpec(args []string) *specs.Spec {
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE", "CAP_SYS_NICE",
	}
	return &specs.Spec{
		Version:     "1.2.0",
		Hostname:    "sandbox",
		Root:        &specs.Root{Path: "rootfs"},
		Annotations: map[string]string{},
		Process: &specs.Process{
			Args:         args,
			Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "HOME=/"},
			Cwd:          "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 4096, Soft: 4096}},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
			{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
		}},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, err)
	must(t, out.Close())
}
