package exechelper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/terminal"
)

// self is this binary, also when its file was replaced meanwhile.
const self = "/proc/self/exe"

// StartOptions are a helper's options.
type StartOptions struct {
	Args []string // options ahead of the command
	// ConsoleSocket is where the terminal's master end goes, if the process has
	// a terminal; empty for this process's own.
	ConsoleSocket string
	Files         []*os.File // preserved
}

// Helper is a helper whose process runs.
type Helper struct {
	cmd   *exec.Cmd
	pty   *terminal.Pty   // nil for none
	relay *terminal.Relay // nil when the terminal, if any, is elsewhere
}

// Start starts a helper in a session of its own and returns once its process
// runs. The caller closes the helper.
func Start(r Request, o StartOptions) (_ *Helper, err error) {
	h := &Helper{cmd: exec.Command(self, append(o.Args, Command, fmt.Sprintf("--%s=%d", FilesFlag, len(o.Files)))...)}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	h.cmd.Args[0] = os.Args[0]
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if r.Process.Terminal {
		if err := h.openTerminal(r, o.ConsoleSocket); err != nil {
			return nil, err
		}
	}
	if err := h.request(r, o.Files); err != nil {
		return nil, err
	}
	return h, nil
}

// openTerminal makes a terminal the helper's stdio.
func (h *Helper) openTerminal(r Request, socket string) (err error) {
	if h.pty, err = terminal.New(r.Process.ConsoleSize); err != nil {
		return err
	}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = h.pty.Slave, h.pty.Slave, h.pty.Slave
	h.cmd.SysProcAttr.Setctty = true
	if socket != "" {
		return terminal.Send(socket, h.pty.Master)
	}
	h.relay, err = terminal.NewRelay(h.pty.Master)
	return err
}

// request starts the helper, sends it the request and returns once the requested
// process runs.
func (h *Helper) request(r Request, files []*os.File) error {
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
	h.cmd.ExtraFiles = append([]*os.File{requestIn, reportOut}, files...)
	err = h.cmd.Start()
	requestIn.Close()
	reportOut.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", Command, err)
	}
	if err := json.NewEncoder(requestOut).Encode(r); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	requestOut.Close()
	return h.readReport(reportIn)
}

func (h *Helper) readReport(in io.Reader) error {
	var r report
	err := json.NewDecoder(in).Decode(&r)
	switch {
	case err != nil:
		_ = h.cmd.Wait()
		return errdefs.Errorf(errdefs.CodeInternal, "%s ended before the process ran: %s", Command, h.cmd.ProcessState)
	case r.Error != nil:
		_ = h.cmd.Wait()
		return r.Error
	}
	return nil
}

// PID is the pid of the host's process that stands for the helper's.
func (h *Helper) PID() int { return h.cmd.Process.Pid }

// Kill kills the helper, and so its process.
func (h *Helper) Kill() error { return h.cmd.Process.Kill() }

// Wait stays until the helper ends, whose status is its process's. Meanwhile it
// hands signals on, and copies the terminal when that is this process's to
// copy. The helper is killed when ctx is done.
func (h *Helper) Wait(ctx context.Context) (*os.ProcessState, error) {
	stop := terminal.ForwardSignals(h.relay, func(sig syscall.Signal) { _ = h.cmd.Process.Signal(sig) })
	defer stop()
	if h.relay != nil {
		if err := h.relay.Start(); err != nil {
			return nil, errors.Join(err, h.Kill())
		}
		defer h.relay.Stop()
	}
	defer context.AfterFunc(ctx, func() { _ = h.Kill() })()
	_ = h.cmd.Wait()
	return h.cmd.ProcessState, nil
}

// Close closes this process's ends of the terminal, and leaves the helper as it
// is.
func (h *Helper) Close() {
	if h.pty != nil {
		h.pty.Close()
	}
}
