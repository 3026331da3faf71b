package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// world is a network and a mount namespace for an engine, and a directory for
// all that it keeps. An engine's additions to them, such as bridges, packet
// filters and mounts, go with them.
type world struct {
	dir    string // below /tmp, and short: sockets lie in it
	binary string // the runtime
	cgroup string // name of the engine's parent cgroup
	init   *exec.Cmd
}

// newWorld makes a world that ends, and is checked for leftovers, with the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	harness.NeedRoot(t)
	rt := harness.New(t)
	w := &world{dir: rt.Dir, binary: rt.Binary, cgroup: filepath.Base(rt.Dir)}
	// The init process lives until its standard input ends. Files that engines
	// keep outside of the directories that they are given are kept in memory.
	w.init = exec.Command("/bin/sh", "-ec", `
		ip link set lo up
		for dir in /run /var/lib/cni; do
			[ ! -d $dir ] || mount -t tmpfs tmpfs $dir
		done
		[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -o bind,remount,ro /sys/fs/cgroup || true
		echo
		exec cat`)
	w.init.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:    unix.SIGKILL,
	}
	in, err := w.init.StdinPipe()
	must(t, err)
	out, err := w.init.StdoutPipe()
	must(t, err)
	must(t, startLasting(w.init))
	t.Cleanup(func() { w.end(t, in.Close) })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("set the namespaces up: %v", err)
	}
	return w
}

// startLasting starts a process with a parent-death signal, which fires when
// the thread ends, on a thread that doesn't.
func startLasting(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		_ = cmd.Wait()
	}()
	return <-started
}

// end ends the world. Processes that should have ended with the engine are killed,
// and named as a failure of the test.
func (w *world) end(t *testing.T, closeStdin func() error) {
	t.Helper()
	for _, p := range w.left(10 * time.Second) {
		t.Errorf("left behind: %s", p)
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
	must(t, closeStdin())
	for _, dir := range w.cgroups() {
		for _, left := range podmanLeft(dir) {
			_ = os.Remove(left)
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	}
}

type leftProcess struct {
	pid     int
	cmdline string
}

func (p leftProcess) String() string { return fmt.Sprintf("process %d: %s", p.pid, p.cmdline) }

// left returns the world's processes that are still there after a while.
func (w *world) left(patience time.Duration) (left []leftProcess) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if left = w.processes(); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// processes are those that have the world's mark in their environment, which
// engines hand down.
func (w *world) processes() (found []leftProcess) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		environ, _ := os.ReadFile(dir + "/environ")
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		if bytes.Contains(environ, []byte(w.mark()+"\x00")) || bytes.Contains(cmdline, []byte(w.dir)) {
			var pid int
			fmt.Sscan(filepath.Base(dir), &pid)
			found = append(found, leftProcess{pid, string(bytes.ReplaceAll(cmdline, []byte{0}, []byte(" ")))})
		}
	}
	return found
}

// cgroups are the directories of the engine's parent cgroup, which the engine
// leaves; one of a container in it keeps it from being removed.
func (w *world) cgroups() []string {
	var dirs []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == w.cgroup {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

// podmanLeft are the cgroups that podman leaves below its parent's, that of its
// monitors and in some hierarchies those of pods.
func podmanLeft(dir string) []string {
	left, _ := filepath.Glob(filepath.Join(dir, "conmon"))
	pods, _ := filepath.Glob(filepath.Join(dir, strings.Repeat("[0-9a-f]", 64)))
	return append(left, pods...)
}

func (w *world) mark() string { return "RUNSC_RECOVER_ENGINE=" + w.dir }

func (w *world) namespace(name string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", w.init.Process.Pid, name)
}

// command prepares a command in the world.
func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--net=" + w.namespace("net"), "--mount=" + w.namespace("mnt"), "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), w.mark())
	cmd.WaitDelay = time.Second
	return cmd
}

// try runs a command in the world and returns how it ended.
func (w *world) try(t *testing.T, stdin string, args ...string) harness.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.CommandTimeout())
	defer cancel()
	cmd := w.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	r := harness.Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Errorf("%v\n%v", err, r)
	}
	return r
}

// install has the runtime tell an engine of itself, below the directory etc.
func (w *world) install(t *testing.T, engine string, flags ...string) {
	t.Helper()
	args := append([]string{w.binary, "install", "--" + engine, "--config-dir", filepath.Join(w.dir, "etc")}, flags...)
	if r := w.try(t, "", args...); r.Code != 0 {
		t.Fatalf("%v", r)
	}
}

// dial connects out of the world's network namespace.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		r := result{}
		if r.err = w.enterNetwork(); r.err == nil {
			// Without a second attempt on another goroutine's thread.
			d := net.Dialer{FallbackDelay: -1}
			r.conn, r.err = d.DialContext(ctx, network, address)
		}
		done <- r
	}()
	r := <-done
	return r.conn, r.err
}

func (w *world) enterNetwork() error {
	ns, err := os.Open(w.namespace("net"))
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
