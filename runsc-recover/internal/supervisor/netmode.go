package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
)

// The modes of gVisor's network.
const (
	networkSandbox = "sandbox"
	networkHost    = "host"
	networkNone    = "none"
)

// networkMode is gVisor's network mode for a container for which mode was
// asked. In its creator's namespace the sandbox's own stack would take the
// addresses away from everybody else, so the host's is used there.
func networkMode(spec *specs.Spec, mode string, rootless bool) (string, error) {
	if mode != networkSandbox {
		return mode, nil
	}
	shared, err := sharesNetNS(spec)
	switch {
	case err != nil:
		return "", err
	case shared:
		return networkHost, nil
	case rootless:
		return "", &oci.Error{
			Code:    oci.CodeUnsupported,
			Message: "without privileges gVisor can't attach its network stack to a namespace",
			Next:    "use --network=none or --network=host",
		}
	}
	return networkSandbox, nil
}

// infraAnnotations say, by engine, that a container holds a pod's namespaces
// for the others and does nothing in them.
var infraAnnotations = map[string]string{
	"io.kubernetes.cri.container-type":  "sandbox",
	"io.kubernetes.cri-o.ContainerType": "sandbox",
}

// podmanInfra is the program of podman's, which has no annotation.
func podmanInfra() []string { return []string{"/catatonit", "-P"} }

func isInfra(spec *specs.Spec) bool {
	for name, value := range infraAnnotations {
		if spec.Annotations[name] == value {
			return true
		}
	}
	return slices.Equal(spec.Process.Args, podmanInfra())
}

// settleNetwork decides which stack the container uses, in view of who else is
// in its network namespace. One that only holds a pod's namespaces leaves the
// addresses to the others.
func (s *supervisor) settleNetwork(context.Context) error {
	if s.opts.Rootless {
		return nil
	}
	if isInfra(s.bundle.Spec) {
		s.opts.Network = networkNone
	}
	self := netMember{pid: os.Getpid(), id: s.opts.ID}
	mode, reason, err := s.claims.claimNetwork(s.opts.Network, s.network, self)
	if err != nil {
		return err
	}
	s.opts.Network = mode
	if mode == networkHost {
		s.warn("connections and UDP sockets of the host's network stack end at a rollback", reason)
	}
	return nil
}

// beforeStart runs right before the program does.
func (s *supervisor) beforeStart(ctx context.Context) error {
	if err := s.runStartHooks(ctx); err != nil {
		return err
	}
	if s.opts.Network != networkSandbox {
		return nil
	}
	var err error
	if s.before, err = takeSnapshot(s.network.path); err != nil || s.network.path == "" {
		return err
	}
	return s.before.save(s.opts.Dir)
}

// leaveNetwork gives a namespace that outlives the container back as it was.
//
// Preconditions: the container has no sandbox any more.
func (s *supervisor) leaveNetwork() {
	if s.before.Path == "" {
		return
	}
	err := s.before.putBack()
	if err == nil {
		err = os.Remove(s.opts.Dir.NetworkFile())
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("put network configuration back", "error", err)
	}
}

// sharesNetNS reports whether the container is in this process's network
// namespace, be it by having none of its own or by its path.
func sharesNetNS(spec *specs.Spec) (bool, error) {
	plan := planNetwork(spec, false)
	if plan.path == "" {
		return !plan.own, nil
	}
	theirs, err := os.Stat(plan.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, oci.Errorf(oci.CodeConfigInvalid, "%s is not valid: network namespace: %w", oci.ConfigFile, err)
	}
	if err != nil {
		return false, fmt.Errorf("look at network namespace: %w", err)
	}
	ours, err := os.Stat(currentNetNS)
	if err != nil {
		return false, fmt.Errorf("look at own network namespace: %w", err)
	}
	return os.SameFile(ours, theirs), nil
}
