package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"runsc-recover/oci/statedir"
)

const (
	// ready is the only one of a program's notices that is passed on.
	ready = "READY=1"
	// maxNotice bounds a notice, which comes from the sandbox.
	maxNotice = 4096
)

// notifier tells the service manager that this process was started by when the
// program says that it is ready, as runc does. The program says so to a socket
// in the container's state directory, which its spec names.
type notifier struct {
	in      *net.UnixConn
	manager string
}

// notifier returns nil where there is no manager, or none when the container
// was made.
func (c *Container) notifier(manager string) (*notifier, error) {
	if manager == "" {
		return nil, nil
	}
	path := c.dir.NotifySocket()
	if _, err := os.Stat(c.dir.NotifyDir()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	in, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for the program's readiness: %w", err)
	}
	// The program may be anybody. Only the container has the directory.
	if err := os.Chmod(path, 0o777); err != nil {
		in.Close()
		return nil, fmt.Errorf("open the readiness socket to the program: %w", err)
	}
	return &notifier{in: in, manager: manager}, nil
}

// relay waits for the program to be ready and tells the manager so, with the
// pid of the service's main process. It returns when that is done, or
// supervisor has ended.
func (n *notifier) relay(ctx context.Context, supervisor statedir.Process, main int) error {
	defer n.in.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_ = supervisor.Wait(ctx)
		cancel()
	}()
	defer context.AfterFunc(ctx, func() { _ = n.in.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, maxNotice)
	for {
		size, err := n.in.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("hear of the program's readiness: %w", err)
		case saysReady(string(buf[:size])):
			return n.tell(main)
		}
	}
}

func saysReady(message string) bool {
	return slices.Contains(strings.Split(message, "\n"), ready)
}

func (n *notifier) tell(main int) error {
	out, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.manager, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer out.Close()
	if _, err := fmt.Fprintf(out, "%s\nMAINPID=%d\n", ready, main); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
