package specconv

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
)

func TestAdaptSeccomp(t *testing.T) {
	enosys, eperm := uint(unix.ENOSYS), uint(unix.EPERM)
	rule := func(a specs.LinuxSeccompAction, errno *uint, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: a, ErrnoRet: errno}
	}
	ours := rule(specs.ActAllow, nil, "recover")
	for _, c := range []struct {
		name     string
		in, want *specs.LinuxSeccomp
	}{
		{"none", nil, nil},
		{"docker's",
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, nil, "read"), rule(specs.ActErrno, &enosys, "clone3")}},
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm, Syscalls: []specs.LinuxSyscall{ours, rule(specs.ActAllow, nil, "read"), rule(specs.ActTrace, &enosys, "clone3")}}},
		{"podman's",
			&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &enosys, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, &eperm, "bdflush")}},
			&specs.LinuxSeccomp{DefaultAction: specs.ActTrace, DefaultErrnoRet: &enosys, Syscalls: []specs.LinuxSyscall{ours, rule(specs.ActErrno, &eperm, "bdflush")}}},
		{"unknown to gVisor",
			&specs.LinuxSeccomp{DefaultAction: specs.ActLog, Syscalls: []specs.LinuxSyscall{rule(specs.ActKillProcess, nil, "a"), rule(specs.ActKillThread, nil, "b")}},
			&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{ours, rule(specs.ActKill, nil, "a"), rule(specs.ActKill, nil, "b")}}},
		{"its own rule for our call",
			&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, nil, "recover")}},
			&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, nil, "recover")}}},
	} {
		got, err := adaptSeccomp(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, bad := range []*specs.LinuxSeccomp{
		{DefaultAction: specs.ActNotify},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule("SCMP_ACT_DANCE", nil, "x")}},
	} {
		if got, err := adaptSeccomp(bad); errdefs.CodeOf(err) != errdefs.CodeUnsupported {
			t.Errorf("%+v: %+v, %v", bad, got, err)
		}
	}
}
