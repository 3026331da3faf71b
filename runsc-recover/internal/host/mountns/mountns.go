// Package mountns gives the process's first thread a mount namespace that shows
// the container's root and bind mounts.
//
// Engines look for a container's files in the mount namespace of its pid, and
// write there: podman's cp does. A process's namespaces are those of its first
// thread. The sandbox's own file systems aren't there: over its tmpfs, proc and
// the like lies an empty directory that can't be written to. No other code of
// the supervisor runs on that thread.
//
// It must not know sandboxes or the supervisor's state.
//
// Locks and goroutines: none; the caller is on the first thread.
package mountns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci"
)

var errNotFirst = errors.New("not on the process's first thread")

// EnterRoot moves the calling thread into a mount namespace whose root is the
// container's. After an error the thread's namespace is undefined, but none of the
// host's mounts has changed.
//
// Preconditions: the thread is the process's first, and runs nothing else.
func EnterRoot(bundle, rootfs string, spec *specs.Spec) error {
	if unix.Gettid() != unix.Getpid() {
		return errNotFirst
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	// Mounts that the host removes go here too, and nothing goes from here to there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("part from the host's mounts: %w", err)
	}
	trees, err := cloneSources(bundle, spec.Mounts)
	defer func() {
		for _, t := range trees {
			unix.Close(t)
		}
	}()
	if err != nil {
		return err
	}
	if err := pivot(rootfs); err != nil {
		return err
	}
	// From here on every path is in the container's root, whatever links its
	// image holds.
	var errs []error
	for i, m := range spec.Mounts {
		errs = append(errs, attach(trees[i], m))
	}
	if spec.Root.Readonly {
		errs = append(errs, setReadOnly(unix.AT_FDCWD, "/", 0))
	}
	return errors.Join(errs...)
}

// noTree stands for a mount without a source on the host.
const noTree = -1

// cloneSources returns a detached copy of the source of each bind mount.
func cloneSources(bundle string, mounts []specs.Mount) (trees []int, err error) {
	for _, m := range mounts {
		tree := noTree
		if oci.IsBind(m) {
			source := m.Source
			if !filepath.IsAbs(source) {
				source = filepath.Join(bundle, source)
			}
			if tree, err = unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE); err != nil {
				return trees, fmt.Errorf("clone mount source %s: %w", source, err)
			}
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// pivot makes rootfs the root of the thread's mount namespace.
func pivot(rootfs string) error {
	if err := unix.Mount(rootfs, rootfs, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind rootfs: %w", err)
	}
	if err := unix.Chdir(rootfs); err != nil {
		return fmt.Errorf("enter rootfs: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make rootfs the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// attach mounts a source, or an empty directory where there is no source.
func attach(tree int, m specs.Mount) error {
	to := filepath.Join("/", m.Destination)
	if tree == noTree {
		return cover(to)
	}
	if err := makeMountPoint(tree, to); err != nil {
		return err
	}
	if slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rro") {
		if err := setReadOnly(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount on %s: %w", to, err)
	}
	return nil
}

// cover hides a directory in whose place the sandbox has a file system of its own.
func cover(dir string) error {
	err := unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755")
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return fmt.Errorf("cover %s: %w", dir, err)
}

// makeMountPoint makes a file or directory to mount the tree on, as any runtime
// does in the container's root.
func makeMountPoint(tree int, to string) error {
	var source unix.Stat_t
	if err := unix.Fstat(tree, &source); err != nil {
		return fmt.Errorf("look at mount source: %w", err)
	}
	dir := to
	if source.Mode&unix.S_IFMT != unix.S_IFDIR {
		dir = filepath.Dir(to)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	if dir == to {
		return nil
	}
	fd, err := unix.Open(to, unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	return unix.Close(fd)
}

func setReadOnly(dirfd int, path string, flags uint) error {
	if err := unix.MountSetattr(dirfd, path, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make mount read-only: %w", err)
	}
	return nil
}
