package specconv

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

// NetworkNamespace says which network namespace a container is to be in. The zero
// value is its creator's.
type NetworkNamespace struct {
	Path string // of one that there is
	Own  bool   // a new one, which the supervisor makes
}

// NetworkNamespaceOf reads the spec's network namespace. Without privileges the
// sandbox makes a new one inside its user namespace, and the supervisor none.
func NetworkNamespaceOf(spec *specs.Spec, rootless bool) NetworkNamespace {
	if spec.Linux == nil {
		return NetworkNamespace{}
	}
	for _, ns := range spec.Linux.Namespaces {
		switch {
		case ns.Type != specs.NetworkNamespace:
		case ns.Path != "":
			return NetworkNamespace{Path: ns.Path}
		default:
			return NetworkNamespace{Own: !rootless}
		}
	}
	return NetworkNamespace{}
}

// SettleNetwork returns the network stack of a container for which asked was
// asked; shared tells that the container is in its creator's namespace. There the
// sandbox's own stack would take the addresses away from all others, so the
// kernel's is used. Errors: CodeUnsupported.
func SettleNetwork(asked config.Network, shared, rootless bool) (config.Network, error) {
	switch {
	case asked != config.NetworkSandbox:
		return asked, nil
	case shared:
		return config.NetworkHost, nil
	case rootless:
		return "", &errdefs.Error{
			Code:    errdefs.CodeUnsupported,
			Message: "without privileges gVisor can't attach its network stack to a namespace",
			Next:    "use --network=none or --network=host",
		}
	}
	return config.NetworkSandbox, nil
}

// HoldsPod reports whether the container does nothing but hold a pod's namespaces
// for the others.
func HoldsPod(spec *specs.Spec) bool {
	const holder = "sandbox"
	return spec.Annotations[containerdType] == holder || spec.Annotations[crioType] == holder ||
		slices.Equal(spec.Process.Args, podmanHolder())
}

// The annotations by which engines tell a pod's containers apart.
const (
	containerdType = "io.kubernetes.cri.container-type"
	crioType       = "io.kubernetes.cri-o.ContainerType"
)

// podmanHolder is the program of podman's, which has no annotation.
func podmanHolder() []string { return []string{"/catatonit", "-P"} }

// withNetworkNamespace returns a copy of the spec whose network namespace is the
// one at path.
func withNetworkNamespace(spec *specs.Spec, path string) *specs.Spec {
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
