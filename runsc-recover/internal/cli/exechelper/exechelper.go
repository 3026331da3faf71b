// Package exechelper runs one more process in a container's sandbox: in this
// process, or in a helper. The helper is this binary again, in a session of its
// own, with a hidden command. It stands for the process on the host: signals to
// it are handed on, and it exits with the process's status. A process that is
// detached, or has a terminal, needs one.
//
// It must not know gVisor, which comes as a function, or the command's options.
//
// Goroutines: those of a terminal's relay and of forwarded signals, while Wait
// runs. Locks: none.
package exechelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"runsc-recover/runsc-recover/internal/api"
)

// A helper and the command that started it speak over two pipes:
//
//	exec                        exec-wait
//	  | ------ Request ---------> |  descriptor 3
//	  | <----- report ----------- |  descriptor 4: the process runs, or why not
//
// Files of --preserve-fds follow from descriptor 5 on.
const (
	requestFD = 3
	reportFD  = 4
	filesFD   = 5
)

// Command is the hidden command of a helper. Its option FilesFlag has the number
// of preserved files.
const (
	Command   = "exec-wait"
	FilesFlag = "files"
)

// ErrReported says that the process didn't run, and that the starter of the
// helper knows the reason.
var ErrReported = errors.New("process didn't run, as was reported")

// report is the helper's answer. Without an error the process runs.
type report struct {
	Error *api.Error `json:"error,omitempty"`
}

// Serve is the helper: it runs the requested process, with nfiles preserved
// files, and returns the process's status. Errors: ErrReported when the process
// never ran, sandbox.ErrGone.
func Serve(ctx context.Context, exec ExecFunc, nfiles int) (status int, err error) {
	out := os.NewFile(reportFD, "report")
	defer out.Close()
	in := os.NewFile(requestFD, "request")
	r, err := readRequest(in)
	if err != nil {
		return 0, err
	}
	var files []*os.File
	for i := range nfiles {
		files = append(files, os.NewFile(uintptr(filesFD+i), "preserved"))
	}
	running := false
	status, err = r.Run(ctx, exec, files, func() error {
		running = true
		return errors.Join(json.NewEncoder(out).Encode(report{}), out.Close())
	})
	if err != nil && !running {
		_ = json.NewEncoder(out).Encode(report{Error: api.Classify(err)})
		return 0, ErrReported
	}
	return status, err
}

func readRequest(in *os.File) (r Request, err error) {
	defer in.Close()
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return r, fmt.Errorf("read request: %w", err)
	}
	return r, nil
}
