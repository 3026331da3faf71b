package supervisor

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// enterUserNS makes a process begin as root of a user namespace whose only
// user is the caller, and of a mount namespace: what gVisor needs to set up a
// sandbox without privileges.
func enterUserNS(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	attr.Credential = &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true}
}

// checkRootless refuses what can't be had without privileges, where they are
// missing. Errors: oci.CodeUnsupported.
func checkRootless(spec *specs.Spec, opts SpawnOptions) error {
	linux := spec.Linux
	switch {
	case !opts.Rootless || linux == nil:
		return nil
	case len(linux.UIDMappings) > 1 || len(linux.GIDMappings) > 1 || mapsMany(linux.UIDMappings) || mapsMany(linux.GIDMappings):
		return notRootless("more than one user or group is mapped", "map one: the caller")
	case opts.SystemdCgroup:
		return notRootless("--systemd-cgroup is given", "leave it out: there are no cgroups without privileges")
	case planNetwork(spec, true).Path != "":
		return notRootless("the network namespace has a path", "leave it out, with --network=none or --network=host")
	}
	return nil
}

func mapsMany(m []specs.LinuxIDMapping) bool {
	return slices.ContainsFunc(m, func(m specs.LinuxIDMapping) bool { return m.Size != 1 })
}

func notRootless(what, next string) error {
	return &errdefs.Error{Code: errdefs.CodeUnsupported, Message: fmt.Sprintf("without privileges gVisor can't run this: %s", what), Next: next}
}
