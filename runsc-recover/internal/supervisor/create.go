package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/specconv"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/host/cgroup"
	"runsc-recover/runsc-recover/internal/host/mountns"
	"runsc-recover/runsc-recover/internal/host/netns"
	"runsc-recover/runsc-recover/internal/host/oomscore"
	"runsc-recover/runsc-recover/internal/host/privdrop"
	"runsc-recover/runsc-recover/internal/host/reaper"
	"runsc-recover/runsc-recover/internal/logging"
	"runsc-recover/runsc-recover/internal/terminal"
)

// create brings the container to the state created. Each step is undone by
// abandon and, for files and mounts, by the creator's cleanup.
func (s *supervisor) create(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.adoptDescriptors,
		s.openLog,
		s.loadBundle,
		s.makeSources,
		s.settleNetwork,
		s.describe,
		s.joinCgroup,
		s.openTerminal,
		s.runCreateHooks,
		s.showRoot,
		s.dropPrivileges,
		s.makeEngine,
		s.listen,
		s.writePidFile,
	} {
		if err := step(ctx); err != nil {
			if s.log != nil {
				s.log.Error("creation failed", "error", err)
			}
			return err
		}
	}
	return nil
}

// adoptDescriptors takes over the inherited descriptors, which no child of this
// process may inherit by accident.
func (s *supervisor) adoptDescriptors(context.Context) error {
	unix.CloseOnExec(fdHandshake)
	unix.CloseOnExec(fdHostNetNS)
	unix.CloseOnExec(fdLock)
	s.hostNS = os.NewFile(fdHostNetNS, "host network namespace")
	s.files = make(map[int]*os.File)
	for i := range s.opts.PreserveFDs {
		unix.CloseOnExec(fdFirstExtra + i)
		fd := firstPreserved + i
		s.files[fd] = os.NewFile(uintptr(fdFirstExtra+i), "preserved "+strconv.Itoa(fd))
	}
	if err := terminal.AppendOutput(); err != nil {
		return err
	}
	s.shield = oomscore.Raise("/proc/self/oom_score_adj")
	return reaper.BecomeSubreaper()
}

func (s *supervisor) openLog(context.Context) error {
	f, err := os.OpenFile(s.opts.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	log, err := logging.NewLimited(f, s.opts.LogFormat, s.opts.Debug)
	if err != nil {
		return err
	}
	s.log = log.With("container", s.opts.ID)
	return nil
}

// loadBundle reads the bundle and converts its spec.
func (s *supervisor) loadBundle(context.Context) (err error) {
	if s.bundle, err = oci.LoadBundle(s.opts.Bundle); err != nil {
		return err
	}
	s.network = netns.Plan(specconv.NetworkNamespaceOf(s.bundle.Spec, s.opts.Rootless))
	o := specconv.Options{Dir: s.opts.Dir, Notify: s.opts.Notify, Rootless: s.opts.Rootless}
	if s.network != (netns.Plan{}) {
		o.NetworkNamespace = fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	}
	if s.spec, err = specconv.Convert(s.bundle, o); err != nil {
		return err
	}
	s.warnings = append(s.warnings, s.spec.Warnings...)
	return nil
}

// makeSources makes the files of the state directory that the container mounts.
func (s *supervisor) makeSources(context.Context) error {
	if s.opts.Notify {
		if err := os.Mkdir(s.opts.Dir.NotifyDir(), 0o755); err != nil && !os.IsExist(err) {
			return fmt.Errorf("make directory for readiness: %w", err)
		}
	}
	if s.spec.Masks {
		if err := os.WriteFile(s.opts.Dir.MaskFile(), nil, 0o444); err != nil {
			return fmt.Errorf("make mask: %w", err)
		}
	}
	return nil
}

// describe writes the first state.json, before there is anything outside the
// state directory to clean up.
func (s *supervisor) describe(context.Context) error {
	self, err := statedir.FindProcess(os.Getpid())
	if err != nil {
		return fmt.Errorf("find own process: %w", err)
	}
	spec := s.spec.Container
	s.base = statedir.State{
		Version:     statedir.StateVersion,
		OCIVersion:  spec.Version,
		ID:          s.opts.ID,
		Status:      statedir.StatusCreated,
		Bundle:      s.bundle.Path,
		Rootfs:      s.bundle.Rootfs,
		Created:     time.Now().UTC(),
		Annotations: spec.Annotations,
		Owner:       s.opts.Owner,
		Terminal:    spec.Process.Terminal,
		Supervisor:  self,
		Policy:      s.opts.Config,
		Hooks:       spec.Hooks,
	}
	if !s.opts.Rootless {
		s.plan, err = cgroup.NewPlan(cgroup.Request{
			Path: spec.Linux.CgroupsPath, ID: s.opts.ID, Systemd: s.opts.SystemdCgroup, Resources: s.spec.Resources,
		})
		if err != nil {
			return err
		}
	}
	dirs := s.plan.Dirs()
	if cgroup.Frozen(dirs) { // and stays so
		return errdefs.Errorf(errdefs.CodeConfigInvalid, "container's cgroup unexpectedly frozen")
	}
	s.base.CgroupPaths = dirs
	s.base.SystemdUnit = s.plan.Unit
	return s.base.Save(s.opts.Dir)
}

func (s *supervisor) joinCgroup(context.Context) (err error) {
	if n := cgroup.Populated(s.base.CgroupPaths); n > 0 {
		s.warn(fmt.Sprintf("container's cgroup is not empty: %d process(es) found", n))
	}
	s.cgroup, err = s.plan.Join(os.Getpid())
	return err
}

func (s *supervisor) openTerminal(context.Context) error {
	p := s.spec.Container.Process
	if !p.Terminal {
		return nil
	}
	if s.opts.ConsoleSocket == "" {
		return errdefs.Errorf(errdefs.CodeRequest, "cannot allocate tty without a console socket")
	}
	return terminal.Open(s.opts.ConsoleSocket, p.ConsoleSize)
}

func (s *supervisor) listen(context.Context) error {
	l, err := api.Listen(s.opts.Dir.ControlSocket())
	if err != nil {
		return err
	}
	s.server = api.NewServer(&Service{Engine: s.engine, cgroup: s.cgroup})
	go s.server.Serve(l)
	return nil
}

func (s *supervisor) writePidFile(context.Context) error {
	return statedir.WritePidFile(s.opts.PidFile, os.Getpid())
}

// dropPrivileges gives up, for good, the privileges that a container's life
// doesn't need. Hooks are promised those of the container's creator, so the
// supervisor keeps them while there are hooks yet to run.
func (s *supervisor) dropPrivileges(context.Context) error {
	if h := s.spec.Container.Hooks; h != nil && len(h.StartContainer)+len(h.Poststart) > 0 {
		return nil
	}
	// A program with C in it can't make the system call for all threads.
	err := privdrop.Drop(privdrop.Unneeded())
	if errors.Is(err, syscall.ENOTSUP) {
		s.log.Warn("capabilities not dropped", "error", err)
		return nil
	}
	return err
}

// showRoot gives the first thread a mount namespace that shows the container's
// files, unless the spec has no new mount namespace for the container. Where the
// namespace can't be had, the log says so.
func (s *supervisor) showRoot(context.Context) error {
	own := func(ns specs.LinuxNamespace) bool { return ns.Type == specs.MountNamespace && ns.Path == "" }
	if !slices.ContainsFunc(s.spec.Container.Linux.Namespaces, own) {
		return nil
	}
	var err error
	s.first.Do(func() { err = mountns.EnterRoot(s.bundle.Path, s.bundle.Rootfs, s.spec.Container) })
	if err != nil {
		s.log.Warn("mount namespace of the container's pid shows the host's files", "error", err)
	}
	return nil
}

// warn notes a warning for the container's creator.
func (s *supervisor) warn(text string) { s.warnings = append(s.warnings, text) }
