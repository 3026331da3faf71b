package specconv

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// CheckRootless refuses a spec that can't be had without privileges. systemd tells
// that the container's cgroup is to be systemd's. Errors: CodeUnsupported.
func CheckRootless(spec *specs.Spec, systemd bool) error {
	linux := spec.Linux
	switch {
	case linux == nil:
		return nil
	case len(linux.UIDMappings) > 1 || len(linux.GIDMappings) > 1 || mapsMany(linux.UIDMappings) || mapsMany(linux.GIDMappings):
		return notRootless("more than one user or group is mapped", "map one: the caller")
	case systemd:
		return notRootless("--systemd-cgroup is given", "leave it out: there are no cgroups without privileges")
	case NetworkNamespaceOf(spec, true).Path != "":
		return notRootless("the network namespace has a path", "leave it out, with --network=none or --network=host")
	}
	return nil
}

func mapsMany(m []specs.LinuxIDMapping) bool {
	return slices.ContainsFunc(m, func(m specs.LinuxIDMapping) bool { return m.Size != 1 })
}

func notRootless(fault, next string) error {
	return &errdefs.Error{Code: errdefs.CodeUnsupported, Message: fmt.Sprintf("without privileges gVisor can't run this: %s", fault), Next: next}
}

// withoutUserNamespace returns a copy of the spec without the user namespace of a
// container without privileges: its supervisor is in one already.
func withoutUserNamespace(spec *specs.Spec) *specs.Spec {
	if spec.Linux == nil {
		return spec
	}
	out, linux := *spec, *spec.Linux
	linux.UIDMappings, linux.GIDMappings = nil, nil
	linux.Namespaces = slices.DeleteFunc(slices.Clone(linux.Namespaces), func(ns specs.LinuxNamespace) bool {
		return ns.Type == specs.UserNamespace
	})
	out.Linux = &linux
	return &out
}
