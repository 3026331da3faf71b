package runc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// Standard input, output and error are pipes that go-runc made, and go on
// after a rollback.
func TestPipes(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.Text)
	pipes, err := runc.NewPipeIO(0, 0)
	c.must(err)
	defer pipes.Close()
	id := c.NewID()
	b := c.Shell(`while read x; do echo "out $x"; echo "err $x" >&2; done`)
	c.must(c.Runc.Create(c.ctx, id, b.Dir, &runc.CreateOpts{IO: pipes}))
	ct := &container{client: c, id: id}
	c.must(c.Runc.Start(c.ctx, id))
	out, errs := bufio.NewReader(pipes.Stdout()), bufio.NewReader(pipes.Stderr())
	for i := range 3 {
		if i > 0 {
			ct.rollBack()
		}
		fmt.Fprintf(pipes.Stdin(), "%d\n", i)
		for r, want := range map[*bufio.Reader]string{out: fmt.Sprintf("out %d\n", i), errs: fmt.Sprintf("err %d\n", i)} {
			if line, err := r.ReadString('\n'); line != want {
				t.Errorf("read %q, %v; want %q", line, err, want)
			}
		}
	}
	c.must(c.Runc.Kill(c.ctx, id, int(syscall.SIGKILL), nil))
	ct.reaches("stopped")
	if rest, err := io.ReadAll(out); len(rest) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// The terminal goes over the console socket once and is still the program's
// after a rollback.
func TestConsoleSocket(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.Text)
	socket, err := runc.NewConsoleSocket(filepath.Join(c.Dir, "console.sock"))
	c.must(err)
	defer socket.Close()
	b := c.Shell(`test -t 0 && echo terminal; while read x; do echo "got $x"; done`)
	b.Spec.Process.Terminal = true
	b.Write()
	id := c.NewID()
	c.must(c.Runc.Create(c.ctx, id, b.Dir, &runc.CreateOpts{ConsoleSocket: socket, PidFile: filepath.Join(c.Dir, "pid")}))
	master, err := socket.ReceiveMaster()
	c.must(err)
	defer master.Close()
	c.must(c.Runc.Start(c.ctx, id))
	ct := &container{client: c, id: id}
	lines := bufio.NewReader(master)
	expectLine(t, lines, "terminal")
	for i := range 3 {
		if i > 0 {
			ct.rollBack()
		}
		fmt.Fprintf(master, "line %d\n", i)
		expectLine(t, lines, fmt.Sprintf("got line %d", i))
	}
	c.must(c.Runc.Delete(c.ctx, id, &runc.DeleteOpts{Force: true}))
}

// expectLine reads lines until one holds want.
func expectLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		if strings.Contains(line, want) {
			return
		}
	}
}

// Descriptors from 3 on are the program's.
func TestPreservedDescriptors(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.Text)
	r, w, err := os.Pipe()
	c.must(err)
	defer r.Close()
	b := c.Shell("echo through >&3")
	out := c.newOutput("run")
	status, err := c.Runc.Run(c.ctx, c.NewID(), b.Dir, &runc.CreateOpts{IO: out, ExtraFiles: []*os.File{w}})
	w.Close()
	if status != 0 || err != nil {
		t.Errorf("run: %d, %v: %s", status, err, out.text())
	}
	if got, err := io.ReadAll(r); string(got) != "through\n" {
		t.Errorf("descriptor 3 got %q, %v", got, err)
	}
}

// Run's status is the program's, and nothing is left then.
func TestRun(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -15 $$": 143} {
		out := c.newOutput("run")
		started := make(chan int, 1)
		status, err := c.Runc.Run(c.ctx, c.NewID(), c.Shell(script).Recover("enabled", "false").Dir, &runc.CreateOpts{IO: out, Started: started, NoPivot: true, NoNewKeyring: true})
		if status != want || (err == nil) != (want == 0) || <-started == 0 {
			t.Errorf("%s: %d, %v: %s", script, status, err, out.text())
		}
	}
	c.CheckLeaks()
}

// The pid file of a detached exec names a process that stands for the one
// inside: it can be signalled, and exits with its status.
func TestDetachedExec(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(c.Shell(serve))
	ct.out.says("ready", 1)
	ct.checkDetachedExec(t)
	ct.rollBack()
	ct.checkDetachedExec(t)
	// A process that runs when the container is rolled back is lost, and says so.
	pid := ct.detach("sleep 100")
	ct.rollBack()
	if got := waitFor(t, pid); got != 137 {
		t.Errorf("an exec that met a rollback ended with %d", got)
	}
	// A process that runs when the container ends goes with it.
	pid = ct.detach("sleep 100")
	c.must(c.Runc.Kill(c.ctx, ct.id, int(syscall.SIGKILL), nil))
	if got := waitFor(t, pid); got != 137 {
		t.Errorf("an exec that outlived the container ended with %d", got)
	}
}

func (ct *container) checkDetachedExec(t *testing.T) {
	t.Helper()
	if got := waitFor(t, ct.detach("exit 5")); got != 5 {
		t.Errorf("exec ended with %d, want 5", got)
	}
	pid := ct.detach("trap 'exit 6' TERM; echo >/tmp/trapped; while :; do sleep 0.05; done")
	harness.Until(t, 10*time.Second, "the trap", func() (bool, string) {
		_, err := ct.exec("test -e /tmp/trapped")
		return err == nil, fmt.Sprint(err)
	})
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if got := waitFor(t, pid); got != 6 {
		t.Errorf("exec that was signalled ended with %d, want 6", got)
	}
}

// detach runs a script with exec --detach and returns the pid in its pid file.
func (ct *container) detach(script string) int {
	ct.t.Helper()
	out := ct.newOutput("detached")
	pidFile := filepath.Join(ct.Dir, "exec.pid")
	ct.must(ct.Runc.Exec(ct.ctx, ct.id, process("/bin/sh", "-c", script), &runc.ExecOpts{IO: out, PidFile: pidFile, Detach: true}))
	pid, err := runc.ReadPidFile(pidFile)
	ct.must(err)
	return pid
}

// waitFor returns the status of a process that is, or becomes, this one's
// child: it was made a subreaper, as containerd's shim is.
func waitFor(t *testing.T, pid int) int {
	t.Helper()
	status := -1
	harness.Until(t, 30*time.Second, fmt.Sprintf("end of %d", pid), func() (bool, string) {
		var ws unix.WaitStatus
		got, err := unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		if got != pid {
			return false, fmt.Sprint(err)
		}
		status = ws.ExitStatus()
		if ws.Signaled() {
			status = 128 + int(ws.Signal())
		}
		return true, ""
	})
	return status
}

// An exec can have a terminal of its own.
func TestExecWithATerminal(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(c.Shell(serve))
	ct.out.says("ready", 1)
	for i := range 2 {
		if i > 0 {
			ct.rollBack()
		}
		socket, err := runc.NewTempConsoleSocket()
		c.must(err)
		p := process("/bin/sh", "-c", `test -t 0 && echo terminal; read x; echo "got $x"; exit 4`)
		p.Terminal = true
		pidFile := filepath.Join(c.Dir, "tty.pid")
		c.must(c.Runc.Exec(c.ctx, ct.id, p, &runc.ExecOpts{ConsoleSocket: socket, PidFile: pidFile, Detach: true}))
		master, err := socket.ReceiveMaster()
		c.must(err)
		lines := bufio.NewReader(master)
		expectLine(t, lines, "terminal")
		fmt.Fprintln(master, "word")
		expectLine(t, lines, "got word")
		pid, err := runc.ReadPidFile(pidFile)
		c.must(err)
		if got := waitFor(t, pid); got != 4 {
			t.Errorf("ended with %d", got)
		}
		master.Close()
		socket.Close()
	}
}
