package specconv

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
	"runsc-recover/sentry/abi"
)

// adaptSeccomp returns the spec's profile as the sentry takes it, with the same
// meaning: the recovery system call is allowed, unless the profile has a rule of
// its own for that call, and actions that gVisor doesn't know are replaced by
// those with the same effect. Errors: errdefs.CodeUnsupported for an action
// without one.
func adaptSeccomp(in *specs.LinuxSeccomp) (*specs.LinuxSeccomp, error) {
	if in == nil {
		return nil, nil
	}
	out := *in
	var err error
	if out.DefaultAction, err = adaptAction(in.DefaultAction, in.DefaultErrnoRet); err != nil {
		return nil, err
	}
	out.Syscalls = nil
	ours := func(s specs.LinuxSyscall) bool { return slices.Contains(s.Names, abi.SyscallName) }
	if !slices.ContainsFunc(in.Syscalls, ours) {
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: []string{abi.SyscallName}, Action: specs.ActAllow})
	}
	for _, s := range in.Syscalls {
		if s.Action, err = adaptAction(s.Action, s.ErrnoRet); err != nil {
			return nil, err
		}
		out.Syscalls = append(out.Syscalls, s)
	}
	return &out, nil
}

func adaptAction(a specs.LinuxSeccompAction, errno *uint) (specs.LinuxSeccompAction, error) {
	switch a {
	case specs.ActErrno:
		// gVisor's errors are always EPERM, but programs fall back to older
		// calls on ENOSYS alone, which a trace without a tracer gives.
		if errno != nil && *errno == uint(unix.ENOSYS) {
			return specs.ActTrace, nil
		}
		return a, nil
	case specs.ActKillProcess, specs.ActKillThread:
		return specs.ActKill, nil
	case specs.ActLog:
		return specs.ActAllow, nil
	case specs.ActAllow, specs.ActKill, specs.ActTrap, specs.ActTrace:
		return a, nil
	}
	return "", &errdefs.Error{
		Code:    errdefs.CodeUnsupported,
		Message: fmt.Sprintf("linux.seccomp: gVisor has no action %s", a),
		Next:    "take it out of the profile",
	}
}
