package terminal

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/console"
	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// receiveTime bounds the wait for a master end whose sender is there already.
const receiveTime = 10 * time.Second

// descriptor is a console, or a file, as far as passing it on needs.
type descriptor interface {
	Fd() uintptr
	Name() string
}

// Send passes a master end over the unix socket at path as runc does: the
// terminal's name is the message, the descriptor its right. The caller keeps
// ownership of master.
func Send(path string, master descriptor) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("connect to console socket: %w", err)
	}
	defer conn.Close()
	if _, _, err := conn.WriteMsgUnix([]byte(master.Name()), unix.UnixRights(int(master.Fd())), nil); err != nil {
		return fmt.Errorf("send terminal to console socket: %w", err)
	}
	return nil
}

// Socket is a console socket in a directory of its own.
type Socket struct {
	dir    string
	socket *runc.Socket
}

// Listen opens a console socket.
func Listen() (*Socket, error) {
	dir, err := os.MkdirTemp("", "runsc-recover-")
	if err != nil {
		return nil, fmt.Errorf("make directory for console socket: %w", err)
	}
	s, err := runc.NewConsoleSocket(filepath.Join(dir, "console.sock"))
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("open console socket: %w", err)
	}
	return &Socket{dir: dir, socket: s}, nil
}

// Path is where Send finds the socket.
func (s *Socket) Path() string { return s.socket.Path() }

// Receive returns the master end. It is the socket's last use but Close.
//
// Preconditions: the master end was sent before, or is being sent.
func (s *Socket) Receive() (console.Console, error) {
	defer time.AfterFunc(receiveTime, func() { s.socket.Close() }).Stop()
	master, err := s.socket.ReceiveMaster()
	if err != nil {
		return nil, fmt.Errorf("receive terminal: %w", err)
	}
	return master, nil
}

// Close removes the socket.
func (s *Socket) Close() {
	s.socket.Close()
	os.RemoveAll(s.dir)
}
