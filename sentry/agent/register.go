package agent

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/eventchannel"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	slinux "gvisor.dev/gvisor/pkg/sentry/syscalls/linux"
	"gvisor.dev/gvisor/pkg/state"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/platform"
)

// SinkName is the name of the agent's seccheck sink, for --pod-init-config.
const SinkName = "recover"

// loadedAgent is where a savedState finds the agent: gVisor's state package
// makes that object itself. It is set once, by Register.
var loadedAgent atomic.Pointer[Agent]

// Register makes the agent known to gVisor's registries. It must be called
// once, before gVisor's command line runs or a sandbox is created.
func Register() {
	a := newAgent()
	loadedAgent.Store(a)
	state.Register((*savedState)(nil))
	platform.Register(platform.Name, platform.Options{Gate: a.gate, Loading: a.saver.Loading, Wrap: a.saver.Track})
	platform.Register(platform.NameUnwatched, platform.Options{Gate: a.gate, Loading: a.saver.Loading})
	seccheck.RegisterSink(seccheck.SinkDesc{Name: SinkName, Setup: setupSink, New: a.newSink})
	eventchannel.AddEmitter(detect.Signals{Sandbox: a})
	a.install(slinux.AMD64, sysnos{exit: 60, exitGroup: 231})
	a.install(slinux.ARM64, sysnos{exit: 93, exitGroup: 94})
}

// sysnos are the numbers of the system calls that the agent wraps.
type sysnos struct {
	exit, exitGroup uintptr
}

// install adds the recovery system call to a table and wraps the exits.
func (a *Agent) install(t *kernel.SyscallTable, n sysnos) {
	t.Table[abi.Sysno] = kernel.Syscall{
		Name:         abi.SyscallName,
		Fn:           a.call,
		SupportLevel: kernel.SupportFull,
		Note:         "runsc-recover's own",
	}
	for _, no := range []uintptr{n.exit, n.exitGroup} {
		sc := t.Table[no]
		sc.Fn = detect.WrapExit(sc.Fn, no == n.exitGroup, a.exitCall)
		t.Table[no] = sc
	}
	t.Init()
}

// sink is a seccheck sink that asks for no points: its setup gives the
// supervisor's socket to the agent.
type sink struct {
	seccheck.SinkDefaults
}

// Name implements seccheck.Sink.
func (*sink) Name() string { return SinkName }

// setupSink runs in the process that creates the sandbox, and hands over a
// duplicate of the descriptor that the options name. gVisor closes it.
func setupSink(config map[string]any) (*os.File, error) {
	opts, err := decodeOptions(config)
	if err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(opts.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the channel: %w", err)
	}
	return os.NewFile(uintptr(fd), "recover-channel"), nil
}

// newSink runs in the sandbox, before the seccomp filters.
func (a *Agent) newSink(config map[string]any, endpoint *fd.FD) (seccheck.Sink, error) {
	opts, err := decodeOptions(config)
	if err != nil {
		return nil, err
	}
	if endpoint == nil {
		return nil, fmt.Errorf("recover sink without a channel")
	}
	ch, err := newChannel(endpoint.Release())
	if err != nil {
		return nil, err
	}
	a.saver.Collector.Boot()
	a.mu.Lock()
	a.opts = opts
	a.mu.Unlock()
	a.out.Store(ch)
	go a.serve(ch)
	if opts.Resolver {
		go a.sendQueries()
	}
	return &sink{}, nil
}
