package terminal

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// drainTime bounds how long output is waited for after a process's end, when
// something else keeps its terminal open.
const drainTime = 300 * time.Millisecond

// Relay copies between a master end and this process's stdio, which may be a
// terminal itself.
type Relay struct {
	master *os.File
	host   console.Console // nil when this process has no terminal
	output chan struct{}   // closed when all output was copied
}

// NewRelay duplicates master, of which the caller keeps ownership.
func NewRelay(master console.Console) (*Relay, error) {
	f, err := pollable(int(master.Fd()), master.Name())
	if err != nil {
		return nil, err
	}
	return &Relay{master: f}, nil
}

// pollable duplicates a descriptor into a file whose reads can be given a
// deadline.
func pollable(fd int, name string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate terminal: %w", err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		unix.Close(dup)
		return nil, fmt.Errorf("set up terminal: %w", err)
	}
	return os.NewFile(uintptr(dup), name), nil
}

// Start begins to copy. The host's terminal is raw until Stop.
func (r *Relay) Start() error {
	r.output = make(chan struct{})
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if c, err := console.ConsoleFromFile(f); err == nil {
			r.host = c
			break
		}
	}
	if r.host != nil {
		r.resize()
		// The host's terminal adds the carriage returns, raw or not.
		r.control(func(fd uintptr) { _ = console.ClearONLCR(fd) })
		if err := r.host.SetRaw(); err != nil {
			return fmt.Errorf("set terminal raw: %w", err)
		}
	}
	// Ends with the process: a read from our own stdin can't be interrupted.
	go func() { _, _ = io.Copy(r.master, os.Stdin) }()
	go func() {
		defer close(r.output)
		_, _ = io.Copy(os.Stdout, r.master)
	}()
	return nil
}

// Stop ends the copying, after the output that is there, and gives the host's
// terminal back.
//
// Preconditions: Start returned nil.
func (r *Relay) Stop() {
	_ = r.master.SetReadDeadline(time.Now().Add(drainTime))
	<-r.output
	r.master.Close()
	if r.host != nil {
		_ = r.host.Reset()
	}
}

// resize gives the terminal the size of the host's.
func (r *Relay) resize() {
	if r.host == nil {
		return
	}
	size, err := r.host.Size()
	if err != nil {
		return
	}
	r.control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
}

// control calls f with the master's descriptor.
func (r *Relay) control(f func(fd uintptr)) {
	if conn, err := r.master.SyscallConn(); err == nil {
		_ = conn.Control(f)
	}
}
