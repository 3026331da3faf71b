package specconv

import (
	"path"
	"path/filepath"
	"slices"
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

// addNotifySocket gives the container the socket in dir by which its program says
// that it is ready. Parts of the spec that it changes are copied before.
func addNotifySocket(spec *specs.Spec, dir statedir.Dir) {
	spec.Mounts = append(slices.Clone(spec.Mounts), specs.Mount{
		Destination: notifyMount, Source: dir.NotifyDir(), Type: "bind",
		Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	process := *spec.Process
	process.Env = append(slices.Clone(process.Env), notifyVariable+"="+path.Join(notifyMount, filepath.Base(dir.NotifySocket())))
	spec.Process = &process
}

// ReachesSockets reports whether a sandbox must connect to sockets in its bind
// mounts, because its program says there that it is ready.
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
