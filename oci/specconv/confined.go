package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci"
)

// confinedPaths returns the mounts, to come after the spec's, that hide its masked
// paths and protect its read-only ones; empty is a file of the host that holds
// nothing. Paths that the host doesn't see aren't there or are gVisor's own, which
// hold nothing of the host's; and devices, sockets and the like aren't in a
// sandbox.
func confinedPaths(tree oci.FileTree, linux *specs.Linux, empty string) []specs.Mount {
	return append(readonlyPaths(tree, linux.ReadonlyPaths), maskedPaths(tree, linux.MaskedPaths, empty)...)
}

func readonlyPaths(tree oci.FileTree, paths []string) (mounts []specs.Mount) {
	for _, p := range paths {
		name, fi, err := tree.Follow(p)
		if err != nil || !fi.IsDir() && !fi.Mode().IsRegular() {
			continue
		}
		if source, err := tree.HostPath(name); err == nil && !onProc(source) {
			mounts = append(mounts, specs.Mount{Destination: name, Type: "bind", Source: source, Options: []string{"rbind", "ro"}})
			mounts = append(mounts, tree.MountsBelow(name)...)
		}
	}
	return mounts
}

func maskedPaths(tree oci.FileTree, paths []string, empty string) (mounts []specs.Mount) {
	var dirs []string // masked
	for _, p := range paths {
		name, fi, err := tree.Follow(p)
		switch {
		case err != nil, slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(name, dir+"/") }):
		case fi.IsDir():
			dirs = append(dirs, name)
			mounts = append(mounts, specs.Mount{Destination: name, Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid", "nodev", "noexec"}})
		case fi.Mode().IsRegular():
			mounts = append(mounts, specs.Mount{Destination: name, Type: "bind", Source: empty, Options: []string{"bind", "ro"}})
		}
	}
	return mounts
}

// onProc reports whether a path is in a proc file system of the host, some of
// whose directories a sandbox fails to mount.
func onProc(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}
