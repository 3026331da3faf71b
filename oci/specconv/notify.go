package specconv

import (
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
	"runsc-recover/oci/statedir"
)

const (
	notifyVariable = "NOTIFY_SOCKET"
	// notifyMount is where runc mounts it.
	notifyMount = "/run/notify"
)

// AddNotifySocket gives the container the socket by which its program says that
// it is ready, in dir.
func AddNotifySocket(spec *specs.Spec, dir statedir.Dir) {
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: notifyMount, Source: dir.NotifyDir(), Type: "bind",
		Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	spec.Process.Env = append(spec.Process.Env, notifyVariable+"="+path.Join(notifyMount, filepath.Base(dir.NotifySocket())))
}

// ReachesSockets reports whether a sandbox must connect to sockets in its bind
// mounts: one of them is that to which its program says that it is ready.
func ReachesSockets(spec *specs.Spec) bool {
	if spec.Process == nil {
		return false
	}
	for _, e := range spec.Process.Env {
		socket, ok := strings.CutPrefix(e, notifyVariable+"=")
		if !ok {
			continue
		}
		for _, m := range spec.Mounts {
			if rel, err := filepath.Rel(m.Destination, socket); err == nil && oci.IsBind(m) && filepath.IsLocal(rel) {
				return true
			}
		}
	}
	return false
}
