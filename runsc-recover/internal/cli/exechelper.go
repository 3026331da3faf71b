package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/terminal"
)

// A process that is detached, or has a terminal, is run by a process of its
// own in a session of its own, which is this binary with the hidden command
// exec-wait. It stands for the process on the host: signals to it are handed
// on, and it exits with the process's status.
//
//	exec                        exec-wait
//	  | ------ execRequest -----> |  descriptor 3
//	  | <------ execReport ------ |  descriptor 4: the process runs, or why not
//
// Files of --preserve-fds follow from descriptor 5 on.
const (
	execRequestFD = 3
	execReportFD  = 4
	execFilesFD   = 5
	execWaitName  = "exec-wait"
)

// execReport says that the process runs, when it holds no error.
type execReport struct {
	Error *api.Error `json:"error,omitempty"`
}

func (p *program) execWaitCommand() *cli.Command {
	return &cli.Command{
		Name:   execWaitName,
		Hidden: true,
		Flags:  []cli.Flag{&cli.IntFlag{Name: "files"}},
		Action: func(c *cli.Context) error {
			return p.execWait(c.Context, c.Int("files"))
		},
	}
}

// execWait is the far side of execApart.
func (p *program) execWait(ctx context.Context, nfiles int) error {
	if p.globals.Log == "" {
		// Standard error is the process's.
		p.report.discard()
	}
	report := os.NewFile(execReportFD, "report")
	defer report.Close()
	var r execRequest
	in := os.NewFile(execRequestFD, "request")
	err := json.NewDecoder(in).Decode(&r)
	in.Close()
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	var files []*os.File
	for i := range nfiles {
		files = append(files, os.NewFile(uintptr(execFilesFD+i), "preserved"))
	}
	running := false
	status, err := r.run(ctx, p.Exec, files, func() error {
		running = true
		return errors.Join(json.NewEncoder(report).Encode(execReport{}), report.Close())
	})
	if err != nil && !running {
		_ = json.NewEncoder(report).Encode(execReport{Error: api.Classify(err)})
		return exitStatus(statusExecError) // whoever asked prints it
	}
	return p.execEnded(status, err)
}

// execApart starts exec-wait, and waits for its end unless detached.
func (p *program) execApart(ctx context.Context, o execOptions, r execRequest, files []*os.File) error {
	cmd := exec.Command(selfExe, append(p.globals.Args(), execWaitName, fmt.Sprintf("--files=%d", len(files)))...)
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var t *terminal.Relay
	if o.process.Terminal {
		pty, err := terminal.New(o.process.ConsoleSize)
		if err != nil {
			return err
		}
		defer pty.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = pty.Slave, pty.Slave, pty.Slave
		cmd.SysProcAttr.Setctty = true
		if o.consoleSocket != "" {
			err = terminal.Send(o.consoleSocket, pty.Master)
		} else {
			t, err = terminal.NewRelay(pty.Master)
		}
		if err != nil {
			return err
		}
	}
	if err := startExecWait(cmd, r, files); err != nil {
		return err
	}
	if err := writePidFile(o.pidFile, cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	if o.detach {
		return nil
	}
	return p.execWatch(ctx, cmd, t)
}

// startExecWait starts cmd, tells it what to run and returns once that runs.
func startExecWait(cmd *exec.Cmd, r execRequest, files []*os.File) error {
	requestIn, requestOut, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer requestOut.Close()
	reportIn, reportOut, err := os.Pipe()
	if err != nil {
		requestIn.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	defer reportIn.Close()
	cmd.ExtraFiles = append([]*os.File{requestIn, reportOut}, files...)
	err = cmd.Start()
	requestIn.Close()
	reportOut.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", execWaitName, err)
	}
	if err := json.NewEncoder(requestOut).Encode(r); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	requestOut.Close()
	return readExecReport(cmd, reportIn)
}

func readExecReport(cmd *exec.Cmd, in io.Reader) error {
	var report execReport
	err := json.NewDecoder(in).Decode(&report)
	switch {
	case err != nil:
		_ = cmd.Wait()
		return errdefs.Errorf(errdefs.CodeInternal, "%s ended before the process ran: %s", execWaitName, cmd.ProcessState)
	case report.Error != nil:
		_ = cmd.Wait()
		return report.Error
	}
	return nil
}

// execWatch stays until exec-wait ends, handing signals on, and copies the
// terminal meanwhile when there is one to copy.
func (p *program) execWatch(ctx context.Context, cmd *exec.Cmd, t *terminal.Relay) error {
	stop := terminal.ForwardSignals(t, func(sig syscall.Signal) { _ = cmd.Process.Signal(sig) })
	defer stop()
	if t != nil {
		if err := t.Start(); err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
		defer t.Stop()
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	_ = cmd.Wait()
	return endedAs(cmd.ProcessState)
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

// selfExe is this binary, also when its file was replaced meanwhile.
const selfExe = "/proc/self/exe"
