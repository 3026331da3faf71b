package oci

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// findProcessFault returns the first fault of the process, empty for none. No
// runtime takes an unknown limit or capability.
func findProcessFault(p *specs.Process) string {
	for i, r := range p.Rlimits {
		switch {
		case !slices.Contains(rlimits(), r.Type):
			return fmt.Sprintf("process.rlimits[%d].type %q is not one of %s", i, r.Type, strings.Join(rlimits(), " "))
		case r.Soft > r.Hard:
			return fmt.Sprintf("process.rlimits[%d]: soft limit %d is above the hard limit %d", i, r.Soft, r.Hard)
		}
	}
	for _, c := range capabilitiesOf(p) {
		if !slices.Contains(Capabilities(), c) {
			return fmt.Sprintf("process.capabilities: unknown capability %q", c)
		}
	}
	return ""
}

func capabilitiesOf(p *specs.Process) []string {
	c := p.Capabilities
	if c == nil {
		return nil
	}
	return slices.Concat(c.Bounding, c.Effective, c.Inheritable, c.Permitted, c.Ambient)
}

func rlimits() []string {
	return []string{
		"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA",
		"RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
		"RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
		"RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
	}
}

// Capabilities are those of Linux by their number.
func Capabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
		"CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
		"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
		"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
		"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
		"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
		"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
		"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
		"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
		"CAP_CHECKPOINT_RESTORE",
	}
}
