package agent

import (
	"google.golang.org/protobuf/proto"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	ucspb "gvisor.dev/gvisor/pkg/sentry/kernel/uncaught_signal_go_proto"

	"runsc-recover/sentry/failure"
)

// signalEmitter sees every fatal signal on the goroutine of the task that is
// about to die of it, before anything of its exit has begun.
type signalEmitter struct {
	agent *Agent
}

// Emit implements eventchannel.Emitter.
func (e *signalEmitter) Emit(msg proto.Message) (bool, error) {
	if ucs, ok := msg.(*ucspb.UncaughtSignal); ok {
		e.agent.fatalSignal(ucs)
	}
	return false, nil
}

// Close implements eventchannel.Emitter.
func (*signalEmitter) Close() error { return nil }

// fatalSignal begins a failure when the signal is one.
func (a *Agent) fatalSignal(ucs *ucspb.UncaughtSignal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.k == nil || !a.opts.Signal {
		return
	}
	t := a.k.RootPIDNamespace().TaskWithID(kernel.ThreadID(ucs.Tid))
	if t == nil || !isFailure(linux.Signal(ucs.SignalNumber), isFirstProcess(t)) || isExec(t) {
		return
	}
	ip := uint64(t.Arch().IP())
	file, offset := locate(t, ip)
	program := programOf(t)
	a.beginFailureLocked(a.k, failure.State{
		Kind: failure.Signal, Signo: ucs.SignalNumber, PID: ucs.Pid, TID: ucs.Tid,
		FaultAddr: ucs.FaultAddr, FaultIP: ip, Program: program,
		Key: failure.KeyOfSignal(ucs.SignalNumber, file, offset, program),
	})
}

// isFailure reports whether dying of sig is a failure. In any process it is
// one for the signals that mean a bug, which are those that dump core but for
// SIGQUIT. The container's first process ends the container with it, so for
// that one every signal is a failure but those by which people and programs
// end others on purpose.
func isFailure(sig linux.Signal, first bool) bool {
	switch sig {
	case linux.SIGILL, linux.SIGTRAP, linux.SIGABRT, linux.SIGBUS, linux.SIGFPE,
		linux.SIGSEGV, linux.SIGXCPU, linux.SIGXFSZ, linux.SIGSYS:
		return true
	case linux.SIGKILL, linux.SIGTERM, linux.SIGINT, linux.SIGHUP, linux.SIGQUIT:
		return false
	}
	return first
}

// isExec reports whether t descends from a process that `exec` started: those
// come from outside and don't outlive a rollback, so their ends aren't the
// container's failures.
func isExec(t *kernel.Task) bool {
	root := t.ThreadGroup().Leader()
	for p := root.Parent(); p != nil; p = root.Parent() {
		root = p.ThreadGroup().Leader()
	}
	return root.Origin == kernel.OriginExec
}
