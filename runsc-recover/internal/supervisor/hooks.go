package supervisor

import (
	"context"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/host/mountns"
	"runsc-recover/runsc-recover/internal/host/netns"
)

// Hooks run once for the container, not once for a sandbox, and in the
// network namespace that the creator was called in.

func (s *supervisor) inRuntimeNamespace(f func() error) error {
	return netns.OnOwnThread(func() (err error) {
		if s.network != (netns.Plan{}) { // else it is ours too
			err = netns.Set(s.hostNS)
		}
		if err == nil {
			s.shield.Expose(func() { err = f() })
		}
		return err
	})
}

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

// runStartHooks runs what must succeed before the program starts.
func (s *supervisor) runStartHooks(ctx context.Context) error {
	h := s.spec.Container.Hooks
	if h == nil || len(h.StartContainer) == 0 {
		return nil
	}
	return s.inRuntimeNamespace(func() error {
		return oci.RunHooks(ctx, "startContainer", h.StartContainer, s.base.Spec(statedir.StatusCreated))
	})
}

// runPoststartHooks runs what may fail without harm.
func (s *supervisor) runPoststartHooks(ctx context.Context) {
	h := s.spec.Container.Hooks
	if h == nil || len(h.Poststart) == 0 {
		return
	}
	err := s.inRuntimeNamespace(func() error {
		return oci.RunAllHooks(ctx, "poststart", h.Poststart, s.base.Spec(statedir.StatusRunning))
	})
	if err != nil {
		s.log.Warn("poststart hooks", "error", err)
	}
}

// showRoot gives the first thread that namespace, unless the spec has none for
// the container. Where it can't be had, the log says so.
func (s *supervisor) showRoot(context.Context) error {
	own := func(ns specs.LinuxNamespace) bool { return ns.Type == specs.MountNamespace && ns.Path == "" }
	if !slices.ContainsFunc(s.spec.Container.Linux.Namespaces, own) {
		return nil
	}
	var err error
	s.first.Do(func() { err = mountns.EnterRoot(s.bundle.Path, s.bundle.Rootfs, s.spec.Container) })
	if err != nil {
		s.log.Warn("show the container's files in the mount namespace of its pid; who looks there sees the host's", "error", err)
	}
	return nil
}
