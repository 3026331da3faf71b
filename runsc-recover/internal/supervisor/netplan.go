package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/host/netns"
)

// networkMode is gVisor's network mode for a container for which mode was
// asked. In its creator's namespace the sandbox's own stack would take the
// addresses away from everybody else, so the host's is used there.
func networkMode(spec *specs.Spec, mode string, rootless bool) (string, error) {
	if mode != netns.ModeSandbox {
		return mode, nil
	}
	shared, err := sharesNetNS(spec)
	switch {
	case err != nil:
		return "", err
	case shared:
		return netns.ModeHost, nil
	case rootless:
		return "", &errdefs.Error{
			Code:    errdefs.CodeUnsupported,
			Message: "without privileges gVisor can't attach its network stack to a namespace",
			Next:    "use --network=none or --network=host",
		}
	}
	return netns.ModeSandbox, nil
}

func isInfra(spec *specs.Spec) bool {
	for name, value := range infraAnnotations {
		if spec.Annotations[name] == value {
			return true
		}
	}
	return slices.Equal(spec.Process.Args, podmanInfra())
}

// sharesNetNS reports whether the container is in this process's network
// namespace, be it by having none of its own or by its path.
func sharesNetNS(spec *specs.Spec) (bool, error) {
	plan := planNetwork(spec, false)
	if plan.Path == "" {
		return !plan.Own, nil
	}
	theirs, err := os.Stat(plan.Path)
	if errors.Is(err, os.ErrNotExist) {
		return false, errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: network namespace: %w", oci.ConfigFile, err)
	}
	if err != nil {
		return false, fmt.Errorf("look at network namespace: %w", err)
	}
	ours, err := os.Stat(netns.Current)
	if err != nil {
		return false, fmt.Errorf("look at own network namespace: %w", err)
	}
	return os.SameFile(ours, theirs), nil
}

// podmanInfra is the program of podman's, which has no annotation.
func podmanInfra() []string { return []string{"/catatonit", "-P"} }

// infraAnnotations say, by engine, that a container holds a pod's namespaces
// for the others and does nothing in them.
var infraAnnotations = map[string]string{
	"io.kubernetes.cri.container-type":  "sandbox",
	"io.kubernetes.cri-o.ContainerType": "sandbox",
}

// planNetwork reads the plan from the spec. A zero plan is the caller's own
// namespace.
func planNetwork(spec *specs.Spec, rootless bool) netns.Plan {
	if spec.Linux == nil {
		return netns.Plan{}
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type != specs.NetworkNamespace {
			continue
		}
		if ns.Path != "" {
			return netns.Plan{Path: ns.Path}
		}
		// Without privileges the sandbox makes its own inside its user
		// namespace.
		return netns.Plan{Own: !rootless}
	}
	return netns.Plan{}
}
