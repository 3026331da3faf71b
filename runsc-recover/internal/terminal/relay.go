package terminal

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
)

// drainTime bounds how long output is waited for after a process's end, when
// something else keeps its terminal open.
const drainTime = 300 * time.Millisecond

// NewTerminal allocates a pseudoterminal.
func NewTerminal(size *specs.Box) (slave, master *os.File, err error) {
	c, path, err := console.NewPty()
	if err != nil {
		return nil, nil, fmt.Errorf("allocate terminal: %w", err)
	}
	if size != nil {
		if err := c.Resize(console.WinSize{Height: uint16(size.Height), Width: uint16(size.Width)}); err != nil {
			c.Close()
			return nil, nil, fmt.Errorf("resize terminal: %w", err)
		}
	}
	defer c.Close()
	if slave, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	if master, err = pollable(int(c.Fd()), c.Name()); err != nil {
		slave.Close()
		return nil, nil, err
	}
	return slave, master, nil
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

// SendMaster passes a terminal's master end over the unix socket at path, as
// runc does.
func SendMaster(path string, master *os.File) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("connect to console socket: %w", err)
	}
	defer c.Close()
	if _, _, err := c.WriteMsgUnix([]byte(master.Name()), unix.UnixRights(int(master.Fd())), nil); err != nil {
		return fmt.Errorf("send terminal to console socket: %w", err)
	}
	return nil
}

// AppendOutput2 makes writes to standard output and error go to the end of the
// file, where they are files: a sandbox writes at an offset of its own, which
// begins at 0, and would overwrite what is there. The flag is shared with the
// caller, whose own offset doesn't move with the sandbox's writes either.
func AppendOutput2() {
	for fd := 1; fd <= 2; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_APPEND)
		}
	}
}

// Listener receives the master end of a container's terminal.
type Listener struct {
	l *net.UnixListener
}

func Listen(path string) (*Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open console socket: %w", err)
	}
	return &Listener{l: l}, nil
}

func (c *Listener) Close() { c.l.Close() }

// Receive returns the master end, which was sent before.
func (c *Listener) Receive() (*os.File, error) {
	if err := c.l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, fmt.Errorf("wait for terminal: %w", err)
	}
	conn, err := c.l.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("wait for terminal: %w", err)
	}
	defer conn.Close()
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return nil, errors.Join(errdefs.Errorf(errdefs.CodeInternal, "receive terminal: no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errdefs.Errorf(errdefs.CodeInternal, "receive terminal: no descriptor came"), err)
	}
	defer unix.Close(fds[0])
	return pollable(fds[0], string(name[:n]))
}

// Relay copies between a master end and this process's own terminal, or
// whatever its stdio is.
type Relay struct {
	Master *os.File
	host   console.Console // nil when this process has none
	output chan struct{}   // closed when all output was copied
}

// Start begins to copy. The host's terminal is raw until stop.
func (t *Relay) Start() error {
	t.output = make(chan struct{})
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if c, err := console.ConsoleFromFile(f); err == nil {
			t.host = c
			break
		}
	}
	if t.host != nil {
		t.resize()
		// The host's terminal adds the carriage returns, raw or not.
		t.control(func(fd uintptr) { _ = console.ClearONLCR(fd) })
		if err := t.host.SetRaw(); err != nil {
			return fmt.Errorf("set terminal raw: %w", err)
		}
	}
	// Ends with the process: a read from our own stdin can't be interrupted.
	go func() { _, _ = io.Copy(t.Master, os.Stdin) }()
	go func() {
		defer close(t.output)
		_, _ = io.Copy(os.Stdout, t.Master)
	}()
	return nil
}

// Stop ends the copying, after the output that is there, and gives the host's
// terminal back.
func (t *Relay) Stop() {
	_ = t.Master.SetReadDeadline(time.Now().Add(drainTime))
	<-t.output
	t.Master.Close()
	if t.host != nil {
		_ = t.host.Reset()
	}
}

// resize gives the terminal the size of the host's.
func (t *Relay) resize() {
	if t.host == nil {
		return
	}
	size, err := t.host.Size()
	if err != nil {
		return
	}
	t.control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
}

// control calls f with the master's descriptor. Fd would make the file
// blocking, and stop's deadline void.
func (t *Relay) control(f func(fd uintptr)) {
	if conn, err := t.Master.SyscallConn(); err == nil {
		_ = conn.Control(f)
	}
}

// ForwardSignals hands the signals that this process gets to send, and changes
// of the window's size to t, which may be nil, until stop is called.
func ForwardSignals(t *Relay, send func(syscall.Signal)) (stop func()) {
	sigs := make(chan os.Signal, 64)
	signal.Notify(sigs)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-sigs:
				forwardSignal(t, s, send)
			}
		}
	}()
	return func() {
		signal.Stop(sigs)
		close(done)
	}
}

func forwardSignal(t *Relay, s os.Signal, send func(syscall.Signal)) {
	switch s {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU:
		// Ours: children, the Go runtime's own, and job control.
	case unix.SIGWINCH:
		if t != nil {
			t.resize()
		}
	default:
		if n, ok := s.(syscall.Signal); ok {
			send(n)
		}
	}
}
