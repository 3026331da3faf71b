package terminal

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// AppendOutput makes this process's output, where it goes to regular files, go
// to their ends. A sandbox writes at an offset of its own, which begins at 0,
// and a copy at that of its checkpoint: over the last words of the sandbox that
// failed, or over those of whoever shares the file. The flag is shared with the
// caller, whose own offset doesn't move with a sandbox's writes either.
func AppendOutput() error {
	for _, fd := range []uintptr{1, 2} {
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil {
			return fmt.Errorf("read flags of descriptor %d: %w", fd, err)
		}
		if _, err := unix.FcntlInt(fd, unix.F_SETFL, flags|unix.O_APPEND); err != nil {
			return fmt.Errorf("append to descriptor %d: %w", fd, err)
		}
	}
	return nil
}
