// Package memfile makes anonymous files in memory (memfds), through which
// processes pass data and a store in memory keeps it.
//
// It must not know the contents of a file, nor who is given its descriptor.
// Files belong to the caller. The package has no locks and starts no
// goroutines.
package memfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// New returns an empty file, open for reading and writing, that is closed on
// exec and can't be executed where the kernel can forbid that (Linux 6.3). The
// name is for /proc/PID/fd alone; files of the same name are different files.
func New(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Reopen opens a file again for reading alone, positioned at its start, with a
// position of its own. The memory lasts until both are closed.
func Reopen(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
