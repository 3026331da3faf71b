package oci

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ConfinedPaths returns the mounts, to come after the spec's, that hide its
// masked paths and protect its read-only ones; empty is a file of the host that
// holds nothing. Paths that the host doesn't see aren't there or are gVisor's
// own, which hold nothing of the host's; and what a node of another kind stands
// for isn't in a sandbox.
func (b *Bundle) ConfinedPaths(empty string) (mounts []specs.Mount) {
	t := hostTree{rootfs: b.Rootfs, mounts: slices.Clone(b.Spec.Mounts)}
	for i, m := range t.mounts {
		if IsBind(m) {
			t.mounts[i].Source = resolve(b.Path, m.Source)
		}
	}
	for _, p := range b.Spec.Linux.ReadonlyPaths {
		name, fi, err := t.follow(p)
		if err != nil || !fi.IsDir() && !fi.Mode().IsRegular() {
			continue
		}
		if source, err := t.hostPath(name); err == nil && !onProc(source) {
			mounts = append(mounts, specs.Mount{Destination: name, Type: "bind", Source: source, Options: []string{"rbind", "ro"}})
			mounts = append(mounts, t.below(name)...)
		}
	}
	var masked []string // directories
	for _, p := range b.Spec.Linux.MaskedPaths {
		name, fi, err := t.follow(p)
		switch {
		case err != nil, slices.ContainsFunc(masked, func(dir string) bool { return strings.HasPrefix(name, dir+"/") }):
		case fi.IsDir():
			masked = append(masked, name)
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

// below are the mounts in a directory, which another one over it would hide.
func (t hostTree) below(name string) (mounts []specs.Mount) {
	for _, m := range t.mounts {
		if strings.HasPrefix(joinAbs("/", m.Destination), name+"/") {
			mounts = append(mounts, m)
		}
	}
	return mounts
}
