package oci

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// maxLinks is how many symbolic links a lookup follows, as in Linux.
const maxLinks = 40

// defaultPath is searched when the process has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// FindExecutable refuses a spec whose program isn't in its root filesystem, so
// that the mistake shows at create. What only the sandbox can see (a tmpfs, a
// file behind a bind mount that isn't there yet) is left to it. The messages
// are runc's: engines derive exit codes 126 and 127 from them.
func FindExecutable(rootfs string, spec *specs.Spec) error {
	p := spec.Process
	tree := hostTree{rootfs: rootfs, mounts: spec.Mounts}
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

// errUnseen says that a path leads where only the sandbox can look.
var errUnseen = errors.New("not visible from the host")

// hostTree is the container's file tree as far as the host can see it.
type hostTree struct {
	rootfs string
	mounts []specs.Mount
}

// searchPath looks in every directory of list, as execvp does.
func (t hostTree) searchPath(name, cwd string, list string) error {
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

func (t hostTree) checkExecutable(name string) error {
	fi, err := t.stat(name)
	switch {
	case err != nil:
		return err
	case fi.IsDir(), fi.Mode()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}

// stat follows name through the container's mounts and symbolic links.
func (t hostTree) stat(name string) (os.FileInfo, error) {
	_, fi, err := t.follow(name)
	return fi, err
}

// follow is stat that also returns the name that the links lead to.
func (t hostTree) follow(name string) (string, os.FileInfo, error) {
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

// lstat looks at name itself; target is set when it is a symbolic link.
func (t hostTree) lstat(name string) (fi os.FileInfo, target string, err error) {
	host, err := t.hostPath(name)
	if err != nil {
		return nil, "", err
	}
	fi, err = os.Lstat(host)
	if errors.Is(err, os.ErrNotExist) && t.leadsToMount(name) {
		return nil, "", errUnseen // the sandbox makes it
	}
	if err != nil {
		return nil, "", err
	}
	if fi.Mode()&os.ModeSymlink != 0 {
		target, err = os.Readlink(host)
	}
	return fi, target, err
}

// hostPath returns where on the host the container's name lies, its parent
// being free of symbolic links. The last mount over it counts. Errors:
// errUnseen.
func (t hostTree) hostPath(name string) (string, error) {
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

// leadsToMount reports whether something is mounted below name.
func (t hostTree) leadsToMount(name string) bool {
	return slices.ContainsFunc(t.mounts, func(m specs.Mount) bool {
		return strings.HasPrefix(joinAbs("/", m.Destination), name+"/")
	})
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
