package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/specconv"
	"runsc-recover/runsc-recover/internal/host/netns"
)

// settleNetwork decides which stack the container uses, in view of the others
// in its network namespace. A container that only holds a pod's namespaces leaves
// the addresses to the others.
func (s *supervisor) settleNetwork(context.Context) error {
	if s.opts.Rootless {
		return nil
	}
	if specconv.HoldsPod(s.spec.Container) {
		s.opts.Network = config.NetworkNone
	}
	self := netns.Member{Pid: os.Getpid(), ID: s.opts.ID}
	mode, reason, err := s.claims.Network(s.opts.Network, s.network, self)
	if err != nil {
		return err
	}
	s.opts.Network = mode
	if mode != config.NetworkHost {
		return nil
	}
	warning := "connections and UDP sockets of the host's network stack end at a rollback"
	if reason != "" {
		warning = reason + ": " + warning
	}
	s.warn(warning)
	return nil
}

// beforeStart runs the hooks, and notes the network's configuration before the
// program's sandbox takes it. The engine calls it right before the program runs.
func (s *supervisor) beforeStart(ctx context.Context) error {
	if err := s.runStartHooks(ctx); err != nil {
		return err
	}
	if s.opts.Network != config.NetworkSandbox {
		return nil
	}
	var err error
	if s.before, err = netns.TakeSnapshot(s.network.Path); err != nil || s.network.Path == "" {
		return err
	}
	return s.before.Save(s.opts.Dir)
}

// leaveNetwork configures a namespace that outlives the container as it was
// before.
//
// Preconditions: the container has no sandbox any more.
func (s *supervisor) leaveNetwork() {
	if s.before.Path == "" {
		return
	}
	err := s.before.PutBack()
	if err == nil {
		err = os.Remove(s.opts.Dir.NetworkFile())
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("network configuration not put back", "error", err)
	}
}

// networkStack returns the stack of a container for which asked was asked. Errors:
// CodeConfigInvalid for a namespace that isn't there, CodeUnsupported.
func networkStack(spec *specs.Spec, asked config.Network, rootless bool) (config.Network, error) {
	if asked != config.NetworkSandbox {
		return asked, nil
	}
	shared, err := netns.Plan(specconv.NetworkNamespaceOf(spec, false)).IsCurrent()
	if errors.Is(err, os.ErrNotExist) {
		return "", errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: network namespace: %w", oci.ConfigFile, err)
	}
	if err != nil {
		return "", fmt.Errorf("look at network namespace: %w", err)
	}
	return specconv.SettleNetwork(asked, shared, rootless)
}
