package cli

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// The exit statuses of commands, beside the container's own.
const (
	statusError     = 1   // every command but exec
	statusExecError = 255 // exec
	statusSignal    = 128 // plus the signal's number
)

// exitStatus ends a command with a status and without a message: the status is
// a container's or a process's, not a failure of the command.
type exitStatus int

// Error implements error. A command's end by a status is never printed.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// failedWith makes an error end the command with another status than 1.
type failedWith struct {
	status int
	err    error
}

func (f *failedWith) Error() string { return f.err.Error() }
func (f *failedWith) Unwrap() error { return f.err }

// statusOf returns the status with which a command that returned err ends, and
// whether err is to be printed.
func statusOf(err error) (status int, print bool) {
	if err == nil {
		return 0, false
	}
	if s, ok := errors.AsType[exitStatus](err); ok {
		return int(s), false
	}
	if f, ok := errors.AsType[*failedWith](err); ok {
		return f.status, true
	}
	return statusError, true
}

// endedAs is the status of a child as an error: nil for 0.
func endedAs(s *os.ProcessState) error {
	ws, ok := s.Sys().(syscall.WaitStatus)
	switch {
	case ok && ws.Signaled():
		return exitStatus(statusSignal + int(ws.Signal()))
	case s.ExitCode() == 0:
		return nil
	}
	return exitStatus(s.ExitCode())
}
