package engines

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// daemon is an engine's, which runs until its test ends.
type daemon struct {
	world *world
	args  []string
	probe []string // a command that works when the daemon does
	// helper is the file with the pid of a process that the daemon starts and
	// that dies with it; empty for none.
	helper string
	cmd    *exec.Cmd
}

// startDaemon starts one that is ended with the test, as an init system does.
func startDaemon(t *testing.T, w *world, probe []string, args ...string) *daemon {
	t.Helper()
	d := &daemon{world: w, args: args, probe: probe}
	d.start(t)
	t.Cleanup(func() { d.stop(t, unix.SIGTERM) })
	return d
}

// start starts it, again perhaps, and waits until it answers.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	name := filepath.Base(d.args[0])
	log, err := os.OpenFile(filepath.Join(d.world.dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(t, err)
	defer log.Close()
	d.cmd = d.world.command(context.Background(), d.args...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	must(t, d.cmd.Start())
	harness.Until(t, 60*time.Second, name, func() (bool, string) {
		out, err := d.world.command(context.Background(), d.probe...).CombinedOutput()
		return err == nil, string(out)
	})
}

// stop sends it a signal and waits for its end.
func (d *daemon) stop(t *testing.T, sig unix.Signal) {
	t.Helper()
	_ = d.cmd.Process.Signal(sig)
	ended := make(chan struct{})
	go func() {
		_ = d.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Errorf("%s doesn't end", d.args)
		_ = d.cmd.Process.Kill()
	}
	d.reapHelper()
}

// reapHelper waits for the helper of a daemon that was killed: this process is
// a subreaper, and a zombie's pid looks alive to the daemon that comes after.
func (d *daemon) reapHelper() {
	text, err := os.ReadFile(d.helper)
	if err != nil {
		return // the daemon has ended it
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_, _ = unix.Wait4(pid, nil, 0, nil) // unless it isn't a child
	}
}
