package detect

import (
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/failure"
)

// WrapExit returns the system call exit (group false) or exit_group (group
// true) around gVisor's own, next. A task whose exit is a failure is handed to
// park first; the system call returns park's error, and goes on where it is
// nil.
func WrapExit(next kernel.SyscallFn, group bool, park func(t *kernel.Task, status int32) error) kernel.SyscallFn {
	return func(t *kernel.Task, sysno uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
		status := args[0].Int() & 0xff
		if status != 0 && endsProcess(group, t.ThreadGroup()) && isFirstProcess(t) {
			if err := park(t, status); err != nil {
				return 0, nil, err
			}
		}
		return next(t, sysno, args)
	}
}

// endsProcess reports whether an exit of one of tg's tasks ends the process.
func endsProcess(group bool, tg *kernel.ThreadGroup) bool {
	return group || tg.Count() == 1
}

// Exit describes the failure of a first process that exits.
func Exit(t *kernel.Task, status int32) failure.State {
	program := programOf(t)
	return failure.State{
		Kind: failure.Exit, Code: status, PID: int32(ProcessID(t)), TID: int32(ThreadID(t)),
		Program: program, Key: failure.KeyOfExit(status, program),
	}
}

// Reported describes a failure that a program reports. The key is derived where
// the program gave none.
func Reported(t *kernel.Task, f abi.Failure) failure.State {
	program := programOf(t)
	key := f.Key
	if key == 0 {
		key = failure.KeyOfReport(f.Code, f.Message, program)
	}
	return failure.State{
		Kind: failure.Reported, Code: f.Code, PID: int32(ProcessID(t)), TID: int32(ThreadID(t)),
		FaultIP: uint64(t.Arch().IP()), Key: key,
		Message: printable(f.Message), Data: f.Data, Program: program,
	}
}
