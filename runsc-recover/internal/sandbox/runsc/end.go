package runsc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/runsc-recover/internal/sandbox"
)

// await reports the end of the program, or of a sandbox that never got one.
func (s *instance) await() {
	defer close(s.exited)
	select {
	case <-s.started:
	case <-s.gone:
	}
	s.awaitLoad()
	exit := s.wait()
	close(s.reaped)
	e := sandbox.Event{Exited: &exit}
	if !exit.Crashed {
		e.Container = s.container
	}
	s.events.report(e)
}

// awaitLoad returns when no start or restore is under way.
func (s *instance) awaitLoad() {
	s.loading.Lock()
	defer s.loading.Unlock()
}

// wait returns the program's end, or the sandbox's.
func (s *instance) wait() sandbox.Exit {
	conn, err := connect(s.sb.ControlSocketPath)
	if err == nil {
		defer conn.Close()
		var ws unix.WaitStatus
		if err = conn.Call(boot.ContMgrWait, &s.id, &ws); err == nil {
			return s.programEnded(ws)
		}
	}
	// The sandbox is gone. It ends with its program's status unless it was
	// killed.
	ws, waitErr := s.sb.Wait(s.id)
	if waitErr == nil && !ws.Signaled() {
		return s.programEnded(ws)
	}
	return sandbox.Exit{Status: exitStatus(ws), Crashed: true, Err: errors.Join(err, waitErr)}
}

// programEnded tells a program that was killed from one whose gofer died:
// gVisor kills that as well.
func (s *instance) programEnded(ws unix.WaitStatus) sandbox.Exit {
	x := sandbox.Exit{Status: exitStatus(ws)}
	if x.Status == statusKilled && s.goferDied() {
		x.Crashed, x.Err = true, errGoferDied
	}
	return x
}

// connect opens gVisor's control socket. Its path may be longer than a
// socket's address, since engines put long ids below long directories.
func connect(path string) (*urpc.Client, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return client.ConnectTo(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// statusKilled is the status of a process that went down with its sandbox.
const statusKilled = 128 + int(unix.SIGKILL)

// exitStatus is a wait status as a shell shows it.
func exitStatus(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// Destroy implements sandbox.Life.
func (s *instance) Destroy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.destroyed {
		return nil
	}
	time.Sleep(time.Until(s.keepUntil))
	s.serves.Store(false)
	s.kill()
	s.agent.close()
	select {
	case <-s.reaped: // before, await would wait for the same process
	case <-time.After(askTimeout):
	}
	s.stopPages()
	s.loading.Lock()
	defer s.loading.Unlock()
	err := s.c.Destroy()
	if fenceErr := s.fence.Remove(); fenceErr != nil {
		log.Warningf("recover: %v", fenceErr)
	}
	s.queues.Close()
	s.known.Close() // of nil does nothing
	if rmErr := removeRoot(s.root); rmErr != nil {
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return fmt.Errorf("destroy sandbox: %w", err)
	}
	s.destroyed = true
	return nil
}

// removeRoot removes a gVisor root directory, with the mount that gVisor
// leaves in it.
func removeRoot(root string) error {
	netns := filepath.Join(root, "null-netns")
	if err := unix.Unmount(netns, unix.MNT_DETACH); err != nil && err != unix.ENOENT && err != unix.EINVAL {
		return fmt.Errorf("unmount %s: %w", netns, err)
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("remove the sandbox's directory: %w", err)
	}
	return nil
}
