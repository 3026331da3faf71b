// Package terminal is the container's terminal and stdio: allocating a
// pseudoterminal, passing its master end on as runc does, and appending to
// output files.
//
// It must not know containers: it is given descriptors and socket paths.
package terminal

import (
	"fmt"
	"net"
	"os"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// openConsole allocates the container's terminal, sends the master end over
// the console socket and makes the slave this process's controlling terminal
// and stdio. It happens once: generations come and go and inherit it.
//
// Preconditions: this process leads its session.
func Open(socket string, size *specs.Box) error {
	master, slavePath, err := console.NewPty()
	if err != nil {
		return fmt.Errorf("allocate terminal: %w", err)
	}
	defer master.Close()
	if size != nil {
		ws := console.WinSize{Height: uint16(size.Height), Width: uint16(size.Width)}
		if err := master.Resize(ws); err != nil {
			return fmt.Errorf("resize terminal: %w", err)
		}
	}
	if err := takeTerminal(slavePath); err != nil {
		return err
	}
	return sendMaster(socket, master)
}

// takeTerminal opens the slave as stdio and controlling terminal.
func takeTerminal(path string) error {
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	defer slave.Close()
	fd := int(slave.Fd())
	if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("take controlling terminal: %w", err)
	}
	for std := range 3 {
		if err := unix.Dup3(fd, std, 0); err != nil {
			return fmt.Errorf("make terminal stdio: %w", err)
		}
	}
	return nil
}

// descriptor is what of a console is needed to pass it on.
type descriptor interface {
	Fd() uintptr
	Name() string
}

// sendMaster passes the master over the socket as runc does: the terminal's
// name is the message, the descriptor its right.
func sendMaster(socket string, master descriptor) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("connect to console socket: %w", err)
	}
	defer conn.Close()
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("console socket %s is not a unix socket", socket)
	}
	rights := unix.UnixRights(int(master.Fd()))
	if _, _, err := uc.WriteMsgUnix([]byte(master.Name()), rights, nil); err != nil {
		return fmt.Errorf("send terminal to console socket: %w", err)
	}
	return nil
}
