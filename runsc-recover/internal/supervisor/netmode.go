package supervisor

import (
	"context"
	"errors"
	"os"

	"runsc-recover/runsc-recover/internal/host/netns"
)

// settleNetwork decides which stack the container uses, in view of who else is
// in its network namespace. One that only holds a pod's namespaces leaves the
// addresses to the others.
func (s *supervisor) settleNetwork(context.Context) error {
	if s.opts.Rootless {
		return nil
	}
	if isInfra(s.bundle.Spec) {
		s.opts.Network = netns.ModeNone
	}
	self := netns.Member{Pid: os.Getpid(), Id: s.opts.ID}
	mode, reason, err := s.claims.Network(s.opts.Network, s.network, self)
	if err != nil {
		return err
	}
	s.opts.Network = mode
	if mode == netns.ModeHost {
		s.warn("connections and UDP sockets of the host's network stack end at a rollback", reason)
	}
	return nil
}

// beforeStart runs right before the program does.
func (s *supervisor) beforeStart(ctx context.Context) error {
	if err := s.runStartHooks(ctx); err != nil {
		return err
	}
	if s.opts.Network != netns.ModeSandbox {
		return nil
	}
	var err error
	if s.before, err = netns.TakeSnapshot(s.network.Path); err != nil || s.network.Path == "" {
		return err
	}
	return s.before.Save(s.opts.Dir)
}

// leaveNetwork gives a namespace that outlives the container back as it was.
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
		s.log.Warn("put network configuration back", "error", err)
	}
}
