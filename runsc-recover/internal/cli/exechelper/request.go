package exechelper

import (
	"context"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/terminal"
)

// ExecFunc runs one more process in a sandbox and returns its status, 128+n when
// signal n ended it. Errors: sandbox.ErrGone, with the status that stands for
// it.
type ExecFunc func(ctx context.Context, h sandbox.Handle, o ExecOptions) (status int, err error)

// ExecOptions describe one more process for a sandbox that runs.
type ExecOptions struct {
	// Process is complete: nothing of it is taken from the container's spec.
	Process *specs.Process
	// Files are the process's descriptors by number, 0 to 2 included. The
	// caller keeps ownership.
	Files    map[int]*os.File
	Rootless bool
	// Started is called once the process runs, with its pid in the container;
	// its error kills the process.
	Started func(pid int) error
}

// Request describes a process for exec.
type Request struct {
	Handle     sandbox.Handle `json:"handle"`
	Generation int            `json:"generation"`
	Socket     string         `json:"socket"` // the supervisor's
	Process    *specs.Process `json:"process"`
	Rootless   bool           `json:"rootless"`
}

// Run runs the process with this process's stdio and the preserved files, and
// calls started once it runs. When this process is killed, so is the other.
func (r Request) Run(ctx context.Context, exec ExecFunc, preserved []*os.File, started func() error) (status int, err error) {
	files := map[int]*os.File{0: os.Stdin, 1: os.Stdout, 2: os.Stderr}
	for i, f := range preserved {
		files[3+i] = f
	}
	_ = terminal.AppendOutput() // the process runs all the same
	var guard *api.Guard
	status, err = exec(ctx, r.Handle, ExecOptions{
		Process: r.Process, Files: files, Rootless: r.Rootless,
		Started: func(pid int) (err error) {
			if guard, err = api.NewClient(r.Socket).Guard(api.ExecProcess{Generation: r.Generation, PID: pid}); err != nil {
				return err
			}
			return started()
		},
	})
	if guard != nil {
		guard.Ended()
	}
	return status, err
}
