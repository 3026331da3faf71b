package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/specconv"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/cgroup"
	"runsc-recover/runsc-recover/internal/host/netns"
	"runsc-recover/runsc-recover/internal/host/oomscore"
	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/host/programtext"
	"runsc-recover/runsc-recover/internal/host/reaper"
	"runsc-recover/runsc-recover/internal/logging"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/terminal"
)

// answerGrace is how long those who wait for the container's end have to be
// told before the supervisor exits.
const answerGrace = time.Second

// gcPercent is how much garbage the supervisor has beside what it needs: there
// is one for each container, and it allocates little.
const gcPercent = 40

// MainOptions is what the supervise command is wired with.
type MainOptions struct {
	// NewBooter returns the sandbox layer for the container's options.
	NewBooter     func(SpawnOptions) sandbox.Booter
	GVisorVersion string
}

// Main is the supervisor: it makes the container that its creator describes,
// owns it to its end and returns its exit status, with which the process has
// to exit. It writes nothing to its stdio, which is the container's.
//
// Preconditions: the caller's goroutine is locked to the process's first
// thread.
func Main(ctx context.Context, opts MainOptions) int {
	first := osthread.NewServed()
	done := make(chan struct{})
	var status int
	go func() {
		defer close(done)
		status = own(ctx, opts, first)
	}()
	first.Serve(done)
	return status
}

// own is Main, beside the first thread.
func own(ctx context.Context, opts MainOptions, first *osthread.Thread) int {
	debug.SetGCPercent(gcPercent)
	handshake := os.NewFile(fdHandshake, "handshake")
	lock := os.NewFile(fdLock, "lock")
	var s supervisor
	if err := readMessage(handshake, &s.opts); err != nil {
		return 1
	}
	s.main, s.first = opts, first
	err := s.create(ctx)
	reply := created{Pid: os.Getpid(), Warnings: s.notes, Error: api.Classify(err)}
	err = errors.Join(err, sendReply(handshake, reply))
	if err != nil {
		// Nobody knows of the container: it must not be.
		s.abandon(ctx, err)
		return 1
	}
	handshake.Close()
	lock.Close()
	if err := programtext.Unmap(); err != nil {
		s.log.Warn("unmap what is no longer needed", "error", err)
	}
	return s.serve(ctx)
}

func sendReply(handshake *os.File, r created) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode handshake: %w", err)
	}
	if _, err := handshake.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("answer creator: %w", err)
	}
	return nil
}

// supervisor is the process's own state; the container's is the engine's.
type supervisor struct {
	opts    SpawnOptions
	main    MainOptions
	log     *slog.Logger
	hostNS  *os.File
	files   map[int]*os.File // preserved descriptors by the program's number
	bundle  *oci.Bundle
	network netns.Plan
	claims  netns.Claims
	before  netns.Snapshot // of the namespace, before a sandbox took it
	notes   []string       // warnings for the creator
	spec    specconv.Result
	plan    cgroup.Plan
	cgroup  *cgroup.Cgroup // nil when it has none
	base    statedir.State // as first written; immutable
	store   checkpoint.Store
	engine  *engine.Engine
	server  *http.Server
	thread  atomic.Pointer[osthread.Thread]
	first   *osthread.Thread // the process's first
	shield  *oomscore.Shield
	booting atomic.Int32
	latest  atomic.Pointer[engine.Snapshot]
}

// create brings the container to the state created.
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
				s.log.Error("create container", "error", err)
			}
			return err
		}
	}
	return nil
}

// adoptDescriptors takes over what was inherited, which no child of ours may
// inherit by accident.
func (s *supervisor) adoptDescriptors(context.Context) error {
	unix.CloseOnExec(fdHandshake)
	unix.CloseOnExec(fdHostNetNS)
	unix.CloseOnExec(fdLock)
	s.hostNS = os.NewFile(fdHostNetNS, "host network namespace")
	s.files = make(map[int]*os.File)
	for i := range s.opts.PreserveFDs {
		unix.CloseOnExec(fdFirstExtra + i)
		s.files[3+i] = os.NewFile(uintptr(fdFirstExtra+i), "preserved "+strconv.Itoa(3+i))
	}
	if err := terminal.AppendOutput(); err != nil {
		return err
	}
	s.shield = oomscore.Raise("/proc/self/oom_score_adj")
	return reaper.BecomeSubreaper()
}

func (s *supervisor) openLog(context.Context) error {
	f, err := os.OpenFile(logFile(s.opts), os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC, 0o600)
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

// loadBundle reads the bundle again, since the creator may have been told another,
// and converts its spec.
func (s *supervisor) loadBundle(context.Context) (err error) {
	if s.bundle, err = oci.LoadBundle(s.opts.Path); err != nil {
		return err
	}
	s.network = netns.Plan(specconv.NetworkNamespaceOf(s.bundle.Spec, s.opts.Rootless))
	o := specconv.Options{Dir: s.opts.Dir, Notify: s.opts.Notify, Rootless: s.opts.Rootless}
	if s.network != (netns.Plan{}) {
		o.NetworkNamespace = fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
	}
	s.spec = specconv.Convert(s.bundle, o)
	s.notes = append(s.notes, s.spec.Warnings...)
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
		Policy:      s.opts.Policy,
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
	if cgroup.Frozen(dirs) { // it stays as it was found
		return errdefs.Errorf(errdefs.CodeConfigInvalid, "container's cgroup unexpectedly frozen")
	}
	s.base.CgroupPaths = dirs
	s.base.SystemdUnit = s.plan.Unit
	return s.base.Save(s.opts.Dir)
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
	if s.opts.PidFile == "" {
		return nil
	}
	if err := statedir.WriteFile(s.opts.PidFile, []byte(strconv.Itoa(os.Getpid()))); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// serve owns the created container to its end.
func (s *supervisor) serve(ctx context.Context) int {
	helpers, stop := context.WithCancel(ctx)
	defer stop()
	go reaper.Run(helpers, s.keepsStatus)
	go s.forwardSignals(helpers)
	exit := s.engine.Run(ctx)
	s.leaveNetwork()
	s.closeServer()
	s.log.Info("supervisor exits", "status", exit.Status)
	return exit.Status
}

// keepsStatus reports whether somebody else waits for a child.
func (s *supervisor) keepsStatus(pid int) bool {
	snap := s.latest.Load()
	return s.booting.Load() > 0 || snap != nil && snap.Owns(pid)
}

// closeServer lets those who waited for the end hear of it.
func (s *supervisor) closeServer() {
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close()
	}
}

// abandon ends a container that could not be created. What is on the disk is
// the creator's to clean up.
func (s *supervisor) abandon(ctx context.Context, why error) {
	if s.log != nil {
		s.log.Error("abandon container", "error", why)
	}
	if s.engine == nil {
		return
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s.engine.Run(ended)
	if s.server != nil {
		s.closeServer()
	}
}
