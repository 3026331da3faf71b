package oci

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// defaultPath is searched when the process has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// FindExecutable refuses a spec whose program isn't in its root filesystem, so
// that the mistake shows at create. A file that only the sandbox can see (in a
// tmpfs, or behind a bind mount that isn't there yet) is left to it. The messages
// are runc's: engines derive exit codes 126 and 127 from them.
func FindExecutable(rootfs string, spec *specs.Spec) error {
	p := spec.Process
	tree := FileTree{rootfs: rootfs, mounts: spec.Mounts}
	name := p.Args[0]
	if !strings.Contains(name, "/") {
		return tree.searchPath(name, p.Cwd, searchPathOf(p.Env))
	}
	err := tree.checkExecutable(joinAbs(p.Cwd, name))
	switch {
	case err == nil || errors.Is(err, errUnseen):
		return nil
	case errors.Is(err, os.ErrPermission):
		return errdefs.Errorf(errdefs.CodeNotExecutable, "unable to start container process: exec: %q: permission denied", name)
	}
	return errdefs.Errorf(errdefs.CodeExecutable, "unable to start container process: exec: %q: stat %s: %w", name, name, errnoOf(err))
}

// searchPath looks in every directory of list, as execvp does.
func (t FileTree) searchPath(name, cwd string, list string) error {
	denied := false
	for dir := range strings.SplitSeq(list, ":") {
		err := t.checkExecutable(path.Join(joinAbs(cwd, dir), name))
		if err == nil || errors.Is(err, errUnseen) {
			return nil
		}
		denied = denied || errors.Is(err, os.ErrPermission)
	}
	if denied {
		return errdefs.Errorf(errdefs.CodeNotExecutable, "unable to start container process: exec: %q: permission denied", name)
	}
	return errdefs.Errorf(errdefs.CodeExecutable, "unable to start container process: exec: %q: executable file not found in $PATH", name)
}

func (t FileTree) checkExecutable(name string) error {
	_, fi, err := t.Follow(name)
	switch {
	case err != nil:
		return err
	case fi.IsDir(), fi.Mode()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}

func searchPathOf(env []string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			return v
		}
	}
	return defaultPath
}

// errnoOf leaves the bare reason of an error about a host path, which means
// nothing to the container's user.
func errnoOf(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return fmt.Errorf("look up: %w", err)
}
