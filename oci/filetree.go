package oci

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxLinks is how many symbolic links a lookup follows, as in Linux.
const maxLinks = 40

// errUnseen says that a path leads where only the sandbox can look.
var errUnseen = errors.New("not visible from the host")

// FileTree is a container's file tree as far as the host can see it: the root and
// the sources of bind mounts. File systems of the sandbox's own are unseen.
type FileTree struct {
	rootfs string
	mounts []specs.Mount
}

// Tree returns the bundle's file tree.
func (b *Bundle) Tree() FileTree {
	t := FileTree{rootfs: b.Rootfs, mounts: slices.Clone(b.Spec.Mounts)}
	for i, m := range t.mounts {
		if IsBind(m) {
			t.mounts[i].Source = resolve(b.Path, m.Source)
		}
	}
	return t
}

// Follow looks at a file through the container's mounts and symbolic links, and
// returns the name that the links lead to as well.
func (t FileTree) Follow(name string) (string, os.FileInfo, error) {
	done, rest := "/", strings.Split(name, "/")
	fi, err := os.Stat(t.rootfs)
	for links := 0; err == nil && len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		if next == done {
			continue
		}
		var target string
		fi, target, err = t.lstat(next)
		switch {
		case err != nil || target == "":
			done = next
		case links == maxLinks:
			return "", nil, syscall.ELOOP
		default:
			links++
			rest = append(strings.Split(target, "/"), rest...)
			if path.IsAbs(target) {
				done = "/"
			}
		}
	}
	return done, fi, err
}

// lstat looks at the file itself; target is set when it is a symbolic link.
func (t FileTree) lstat(name string) (fi os.FileInfo, target string, err error) {
	host, err := t.HostPath(name)
	if err != nil {
		return nil, "", err
	}
	fi, err = os.Lstat(host)
	if errors.Is(err, os.ErrNotExist) && len(t.MountsBelow(name)) > 0 {
		return nil, "", errUnseen // the sandbox makes the directory
	}
	if err != nil {
		return nil, "", err
	}
	if fi.Mode()&os.ModeSymlink != 0 {
		target, err = os.Readlink(host)
	}
	return fi, target, err
}

// HostPath returns the path on the host of a container's file; the last mount over
// the file counts.
//
// Preconditions: the name's parent is free of symbolic links. Errors: errUnseen.
func (t FileTree) HostPath(name string) (string, error) {
	for i := len(t.mounts) - 1; i >= 0; i-- {
		m := t.mounts[i]
		rel, err := filepath.Rel(joinAbs("/", m.Destination), name)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		if !IsBind(m) {
			return "", errUnseen
		}
		src := filepath.Join(m.Source, rel)
		if _, err := os.Stat(m.Source); err != nil || !filepath.IsAbs(m.Source) {
			return "", errUnseen
		}
		// A source that is itself a link leads elsewhere on the host, not in
		// the container.
		if rel == "." {
			return filepath.EvalSymlinks(src)
		}
		return src, nil
	}
	return filepath.Join(t.rootfs, name), nil
}

// MountsBelow returns the mounts in a directory, which a mount over the directory
// would hide. Their sources are absolute.
func (t FileTree) MountsBelow(name string) (mounts []specs.Mount) {
	for _, m := range t.mounts {
		if strings.HasPrefix(joinAbs("/", m.Destination), name+"/") {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// IsBind reports whether a mount shows a file or directory of the host.
func IsBind(m specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

func joinAbs(base, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", base, name)
}
