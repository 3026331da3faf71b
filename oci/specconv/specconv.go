// Package specconv turns a container's config.json into what a sandbox and a
// cgroup are given, and says what of it can't be had.
//
// It must not know gVisor, the host beyond the files that the spec names, or who
// runs the container. No function changes the spec that it is given, unless it
// says so.
package specconv

import (
	"fmt"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Warnings says what of a spec a sandbox doesn't have, or can't go back.
func Warnings(spec *specs.Spec, isSocket func(path string) bool) (warnings []string) {
	for _, m := range spec.Mounts {
		if isSocket(m.Source) && !ReachesSockets(spec) {
			warnings = append(warnings, fmt.Sprintf("the host's unix socket %s can't be connected to from a sandbox", m.Source))
		}
	}
	if spec.Linux == nil {
		return warnings
	}
	var devices []string
	for _, d := range spec.Linux.Devices {
		devices = append(devices, d.Path)
	}
	if len(devices) > 0 {
		warnings = append(warnings, fmt.Sprintf("the host's devices aren't passed on to a sandbox, which has gVisor's: %s", strings.Join(devices, ", ")))
	}
	if r := spec.Linux.Resources; r != nil && r.Pids != nil && r.Pids.Limit > 0 && r.Pids.Limit < minPids {
		warnings = append(warnings, fmt.Sprintf("the pids limit of %d is raised to %d, since gVisor's threads on the host are counted", r.Pids.Limit, minPids))
	}
	return warnings
}

func IsSocket(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&os.ModeSocket != 0
}

// WithoutUserNS returns a copy of the spec without the user namespace of a
// container without privileges: its supervisor is in one already.
func WithoutUserNS(spec *specs.Spec) *specs.Spec {
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

// WithNetNS returns a copy of the spec whose network namespace is the one at
// path.
func WithNetNS(spec *specs.Spec, path string) *specs.Spec {
	out, linux := *spec, *spec.Linux
	linux.Namespaces = slices.Clone(linux.Namespaces)
	for i, ns := range linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			linux.Namespaces[i].Path = path
		}
	}
	out.Linux = &linux
	return &out
}
