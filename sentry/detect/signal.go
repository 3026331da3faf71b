package detect

import (
	"google.golang.org/protobuf/proto"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	ucspb "gvisor.dev/gvisor/pkg/sentry/kernel/uncaught_signal_go_proto"

	"runsc-recover/sentry/failure"
)

// Signals detects fatal signals. It implements eventchannel.Emitter: gVisor
// emits an event on the goroutine of the task that is about to die of a
// signal, before anything of its exit has begun.
type Signals struct {
	Sandbox Sandbox
}

// Emit implements eventchannel.Emitter.
func (s Signals) Emit(msg proto.Message) (bool, error) {
	if ucs, ok := msg.(*ucspb.UncaughtSignal); ok {
		s.Sandbox.FailOnTask(func(k *kernel.Kernel, on Causes) (failure.State, bool) {
			return fatalSignal(k, on, ucs)
		})
	}
	return false, nil
}

// Close implements eventchannel.Emitter.
func (Signals) Close() error { return nil }

// fatalSignal returns the failure of a task that dies of a signal, if its death
// is one.
//
// Preconditions: the caller runs on that task's goroutine.
func fatalSignal(k *kernel.Kernel, on Causes, ucs *ucspb.UncaughtSignal) (failure.State, bool) {
	t := k.RootPIDNamespace().TaskWithID(kernel.ThreadID(ucs.Tid))
	if !on.Signal || t == nil || !isFailure(linux.Signal(ucs.SignalNumber), isFirstProcess(t)) || isExec(t) {
		return failure.State{}, false
	}
	ip := uint64(t.Arch().IP())
	file, offset := locate(t, ip)
	program := programOf(t)
	return failure.State{
		Kind: failure.Signal, Signo: ucs.SignalNumber, PID: ucs.Pid, TID: ucs.Tid,
		FaultAddr: ucs.FaultAddr, FaultIP: ip, Program: program,
		Key: failure.KeyOfSignal(ucs.SignalNumber, file, offset, program),
	}, true
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
