package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The exit statuses of commands, beside the container's own.
const (
	statusError     = 1   // every command but exec
	statusExecError = 255 // exec
	statusSignal    = 128 // plus the signal's number
)

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// exitStatus ends a command with a status and without a message: the status is
// a container's or a process's, not a failure of ours.
type exitStatus int

// Error is for errors that are printed by mistake.
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

// run carries out one command line and returns the exit status.
func run(ctx context.Context, args []string, io stdio) int {
	out := &reporter{stderr: io.err}
	app := newApp(io, out)
	err := app.RunContext(ctx, arrange(app, args))
	status, print := statusOf(err)
	if print {
		out.fail(err)
	}
	return status
}
