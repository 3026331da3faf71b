package statedir

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// pollTime is how long one wait for a process lasts before its context is
// looked at again.
const pollTime = 100 * time.Millisecond

// Wait returns once the process doesn't run any more, or ctx's error.
func (p Process) Wait(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, ErrNoProcess) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for process %d: %w", p.Pid, err)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(pollTime/time.Millisecond))
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.Pid, err)
		}
	}
}

// Signal sends a signal to the process and to no other that may have got its
// pid since. Errors: ErrNoProcess.
func (p Process) Signal(sig unix.Signal) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %d", ErrNoProcess, p.Pid)
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", p.Pid, err)
	}
	return nil
}

// open returns a pidfd of the process. A zombie is no process.
func (p Process) open() (int, error) {
	if p.Pid <= 0 {
		return -1, fmt.Errorf("%w: %d", ErrNoProcess, p.Pid)
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, fmt.Errorf("%w: %d", ErrNoProcess, p.Pid)
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", p.Pid, err)
	}
	// The process is looked at after opening, so that the descriptor is its own.
	if !p.Alive() {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: %d", ErrNoProcess, p.Pid)
	}
	return fd, nil
}
