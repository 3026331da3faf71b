// Package privdrop gives up capabilities of this process for good.
//
// It must not know why the process still needs the others. It has no locks and no
// goroutines.
package privdrop

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unneeded are the capabilities that neither the supervisor nor a sandbox that
// it starts has a use for.
func Unneeded() []uintptr {
	return []uintptr{
		unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ, unix.CAP_AUDIT_WRITE,
		unix.CAP_BLOCK_SUSPEND, unix.CAP_IPC_OWNER, unix.CAP_LEASE,
		unix.CAP_LINUX_IMMUTABLE, unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE,
		unix.CAP_NET_BROADCAST, unix.CAP_SYSLOG, unix.CAP_SYS_BOOT,
		unix.CAP_SYS_MODULE, unix.CAP_SYS_PACCT, unix.CAP_SYS_RAWIO,
		unix.CAP_SYS_TIME, unix.CAP_SYS_TTY_CONFIG, unix.CAP_WAKE_ALARM,
	}
}

// Drop takes capabilities from every thread's sets, the bounding set included.
// Errors: syscall.ENOTSUP in a program that is linked with C.
func Drop(caps []uintptr) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for _, c := range caps {
		// Without the privilege to change the bounding set, that stays; a
		// capability that isn't permitted can only come back from it by exec.
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); errno != 0 && errno != unix.EPERM && errno != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, errno)
		}
		mask := ^uint32(1 << (c % 32))
		data[c/32].Effective &= mask
		data[c/32].Permitted &= mask
		data[c/32].Inheritable &= mask
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(&data)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}
