// Package specconv turns a container's config.json into the spec that its
// sandboxes are booted with and the limits of its cgroup, and judges it for both:
// which parts can't be had, or are had otherwise. Convert is the one way in for a
// container that is created; the other exported functions are for decisions that
// come before or after it.
//
// It must not know gVisor's code, the host beyond its name and the files that the
// spec names, or the container's supervisor. It makes no file and changes no spec that
// it is given.
package specconv

import (
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
	"runsc-recover/oci/statedir"
)

// Options says how a container is run, as far as its spec depends on that.
type Options struct {
	// Dir is the container's state directory.
	Dir statedir.Dir
	// Notify gives the program a socket in Dir to say that it is ready.
	Notify bool
	// Rootless tells that the supervisor is in a user namespace made for it.
	Rootless bool
	// NetworkNamespace is the path of the namespace that the supervisor is in;
	// empty for its creator's.
	NetworkNamespace string
}

// Result is a container's spec, converted. Specs share parts with the bundle's:
// none may be changed.
type Result struct {
	// Container is the spec with the mounts and variables that this runtime adds.
	Container *specs.Spec
	// Sandbox is Container as sandboxes are booted with it, for gVisor alone. It
	// shares nothing.
	Sandbox *specs.Spec
	// Resources are the limits for the container's cgroup.
	Resources *specs.LinuxResources
	// Warnings are for the container's creator.
	Warnings []string
	// Masks tells that Dir.MaskFile, an empty file, is mounted.
	Masks bool
}

// Convert converts the spec of a bundle that oci.LoadBundle has accepted. Errors:
// errdefs.CodeUnsupported.
func Convert(b *oci.Bundle, o Options) (Result, error) {
	spec := *b.Spec
	if o.Notify {
		addNotifySocket(&spec, o.Dir)
	}
	tree := (&oci.Bundle{Path: b.Path, Rootfs: b.Rootfs, Spec: &spec}).Tree()
	confined := confinedPaths(tree, spec.Linux, o.Dir.MaskFile())
	spec.Mounts = slices.Concat(spec.Mounts, confined)
	sandbox, err := forSandbox(&spec, o, b.Path)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Container: &spec,
		Sandbox:   sandbox,
		Resources: Enforceable(spec.Linux.Resources),
		Warnings:  warn(&spec, isSocket),
		Masks:     len(confined) > 0,
	}, nil
}

// forSandbox returns the spec with the namespaces and the name that a sandbox
// finds itself in, as gVisor takes it.
func forSandbox(spec *specs.Spec, o Options, bundle string) (*specs.Spec, error) {
	if o.Rootless {
		spec = withoutUserNamespace(spec)
	}
	if o.NetworkNamespace != "" {
		spec = withNetworkNamespace(spec, o.NetworkNamespace)
	}
	return forGVisor(withHostname(spec, os.Hostname), bundle)
}
