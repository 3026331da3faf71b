// Package terminal is the terminals and standard streams of containers: a new
// pseudoterminal, the passing of its master end between processes as runc does
// it, the copying between a master end and this process's own terminal, and
// output files that are appended to.
//
// It must not know containers: it is given descriptors and socket paths.
//
// Goroutines: two of a Relay, which copy from Start on, and one of
// ForwardSignals until it is stopped. Locks: none.
package terminal

import (
	"fmt"
	"os"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Pty is a pseudoterminal of this process's making.
type Pty struct {
	Master console.Console
	Slave  *os.File
}

// New allocates a pseudoterminal. A nil size is the kernel's default.
func New(size *specs.Box) (*Pty, error) {
	master, path, err := console.NewPty()
	if err != nil {
		return nil, fmt.Errorf("allocate terminal: %w", err)
	}
	p := &Pty{Master: master}
	if size != nil {
		if err := master.Resize(console.WinSize{Height: uint16(size.Height), Width: uint16(size.Width)}); err != nil {
			p.Close()
			return nil, fmt.Errorf("resize terminal: %w", err)
		}
	}
	if p.Slave, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		p.Close()
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	return p, nil
}

// Close closes both ends of this process's.
func (p *Pty) Close() {
	p.Master.Close()
	if p.Slave != nil {
		p.Slave.Close()
	}
}

// Open allocates the container's terminal, sends the master end over the
// console socket and makes the slave this process's controlling terminal and
// stdio. It happens once: sandboxes come and go and inherit the slave.
//
// Preconditions: this process leads its session.
func Open(socket string, size *specs.Box) error {
	p, err := New(size)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.take(); err != nil {
		return err
	}
	return Send(socket, p.Master)
}

// take makes the slave stdio and controlling terminal.
func (p *Pty) take() error {
	fd := int(p.Slave.Fd())
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
