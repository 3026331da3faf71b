package statedir

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
)

// Lock is held by the command that creates or deletes a container. It ends
// with its process and those that share it, however they end.
type Lock struct {
	f *os.File
}

// Lock waits for the container's lock. Errors: ErrNotExist when the container
// was deleted meanwhile.
func (d Dir) Lock() (*Lock, error) {
	f, err := os.OpenFile(d.LockFile(), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errdefs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock container: %w", err)
	}
	// The last holder may have deleted the container, and another command may have
	// made it anew: only the file that has the name counts.
	if !isNamed(f, d.LockFile()) {
		f.Close()
		return nil, errdefs.ErrNotExist
	}
	return &Lock{f: f}, nil
}

// File is the descriptor that a child process inherits to share the lock. The Lock
// keeps ownership.
func (l *Lock) File() *os.File { return l.f }

// Unlock gives the lock back, but for processes that share it. It may be called
// more than once.
func (l *Lock) Unlock() {
	l.f.Close()
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func isNamed(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(held, named)
}
