package runsc

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

// zombie starts a program and returns once it has ended, before it was waited
// for.
func zombie(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A gofer that was killed, or failed, takes its program with it; one that ended
// with its sandbox doesn't make that a crash.
func TestGoferDied(t *testing.T) {
	for script, want := range map[string]bool{"exit 0": false, "exit 3": true, "kill -KILL $$": true} {
		f := newFake(t, nil)
		f.gofer = zombie(t, script).Process.Pid
		expect.Equal(t, script, f.goferDied(), want)
		killed := f.programEnded(unix.WaitStatus(unix.SIGKILL))
		expect.Equal(t, script+": crashed", killed.Crashed, want)
		expect.Equal(t, script+": error", errors.Is(killed.Err, errGoferDied), want)
		expect.Equal(t, script+": an exit", f.programEnded(7<<8).Crashed, false)
	}
	f := newFake(t, nil)
	expect.Equal(t, "no gofer", f.goferDied(), false)
	f.watchGofer()
}

// A sandbox whose gofer ends is killed, and not before.
func TestSandboxEndsWithItsGofer(t *testing.T) {
	f := newFake(t, nil)
	var procs [2]*exec.Cmd
	var stdin [2]interface{ Close() error }
	for i := range procs {
		procs[i] = exec.Command("cat")
		in, err := procs[i].StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdin[i] = in
		if err := procs[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	sentry, gofer := procs[0], procs[1]
	f.gofer = gofer.Process.Pid
	f.sb.Pid.Store(sentry.Process.Pid)
	watched := make(chan struct{})
	go func() {
		f.watchGofer()
		close(watched)
	}()
	select {
	case <-watched:
		t.Error("the watch ended before the gofer")
	default:
	}
	stdin[1].Close()
	<-watched
	_ = sentry.Wait()
	expect.Equal(t, "the sandbox's end", sentry.ProcessState.String(), "signal: killed")
	close(f.reaped)
	_ = gofer.Wait()
}

func TestExitStatus(t *testing.T) {
	for ws, want := range map[unix.WaitStatus]int{
		0: 0, 3 << 8: 3, 255 << 8: 255,
		unix.WaitStatus(unix.SIGKILL): 137, unix.WaitStatus(unix.SIGSEGV) | 0x80: 139,
	} {
		expect.Equal(t, "status", exitStatus(ws), want)
	}
}

// The end of a sandbox that can't be asked is a crash.
func TestEndOfASilentSandbox(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"hangs up":      func(c net.Conn) { c.Close() },
		"talks garbage": func(c net.Conn) { c.Write([]byte("}{")); c.Close() },
	} {
		f := newFake(t, nil)
		controlSocket(t, f, answer)
		x := f.wait()
		expect.Equal(t, name+": crashed", x.Crashed, true)
		expect.Equal(t, name+": has an error", x.Err != nil, true)
	}
}

// A socket below a long directory is found.
func TestConnectToALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control")
	if _, err := connect(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	t.Chdir(dir)
	l, err := net.Listen("unix", "control")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestRemoveRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "null-netns"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeRoot(root); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
