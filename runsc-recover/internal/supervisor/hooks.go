package supervisor

import (
	"context"

	"runsc-recover/oci"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/host/netns"
)

// inRuntimeNamespace runs hooks in the network namespace of the container's
// creator, with the original rank for the OOM killer. Hooks run once for the
// container, not once for a sandbox.
func (s *supervisor) inRuntimeNamespace(f func() error) error {
	return netns.OnOwnThread(func() (err error) {
		if s.network != (netns.Plan{}) { // else the creator's is this process's too
			err = netns.Set(s.hostNS)
		}
		if err == nil {
			s.shield.Expose(func() { err = f() })
		}
		return err
	})
}

// runCreateHooks runs the hooks that come before the container is created.
func (s *supervisor) runCreateHooks(ctx context.Context) error {
	h := s.spec.Container.Hooks
	if h == nil {
		return nil
	}
	//lint:ignore SA1019 engines still use them
	prestart := h.Prestart
	if len(prestart)+len(h.CreateRuntime)+len(h.CreateContainer) == 0 {
		return nil
	}
	state := s.base.Spec("creating")
	return s.inRuntimeNamespace(func() error {
		if err := oci.RunHooks(ctx, "prestart", prestart, state); err != nil {
			return err
		}
		if err := oci.RunHooks(ctx, "createRuntime", h.CreateRuntime, state); err != nil {
			return err
		}
		return oci.RunHooks(ctx, "createContainer", h.CreateContainer, state)
	})
}

// runStartHooks runs the hooks that must succeed before the program starts.
func (s *supervisor) runStartHooks(ctx context.Context) error {
	h := s.spec.Container.Hooks
	if h == nil || len(h.StartContainer) == 0 {
		return nil
	}
	return s.inRuntimeNamespace(func() error {
		return oci.RunHooks(ctx, "startContainer", h.StartContainer, s.base.Spec(statedir.StatusCreated))
	})
}

// runPoststartHooks runs the hooks that may fail without harm.
func (s *supervisor) runPoststartHooks(ctx context.Context) {
	h := s.spec.Container.Hooks
	if h == nil || len(h.Poststart) == 0 {
		return
	}
	err := s.inRuntimeNamespace(func() error {
		return oci.RunAllHooks(ctx, "poststart", h.Poststart, s.base.Spec(statedir.StatusRunning))
	})
	if err != nil {
		s.log.Warn("poststart hooks failed", "error", err)
	}
}
