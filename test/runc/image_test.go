package runc

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	runc "github.com/containerd/go-runc"
)

// count prints numbers that never begin again, unless the program does.
const count = `i=0; trap 'echo "at $i"' USR1; trap 'exit 0' TERM; echo ready; while :; do i=$((i+1)); sleep 0.01; done`

// A checkpoint ends and deletes the container; restore makes it again, and the
// program goes on where it was, before and after rollbacks.
func TestCheckpointAndRestore(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell(count)
	ct := c.start(b)
	ct.out.says("ready", 1)
	for i, detach := range []bool{true, true} {
		if i > 0 {
			ct.rollBack()
		}
		image := filepath.Join(c.Dir, "image", ct.id)
		c.must(c.Runc.Checkpoint(c.ctx, ct.id, &runc.CheckpointOpts{ImagePath: image, WorkDir: c.Dir, Cgroups: runc.Soft}))
		if all, err := c.Runc.List(c.ctx); len(all) != 0 {
			t.Errorf("left after a checkpoint: %+v, %v", all, err)
		}
		next := &container{client: c, id: c.NewID()}
		next.out = c.newOutput(next.id)
		pidFile := filepath.Join(c.Dir, next.id+".pid")
		_, err := c.Runc.Restore(c.ctx, next.id, b.Dir, &runc.RestoreOpts{
			CheckpointOpts: runc.CheckpointOpts{ImagePath: image, WorkDir: c.Dir, AllowOpenTCP: true, Cgroups: runc.Soft, EmptyNamespaces: []string{"network"}},
			IO:             next.out, PidFile: pidFile, Detach: detach, NoSubreaper: true, NoPivot: true,
		})
		c.must(err)
		next.pid, err = runc.ReadPidFile(pidFile)
		c.must(err)
		ct = next
		if s := ct.state(); s.Status != "running" || s.Pid != ct.pid {
			t.Errorf("restored: %+v", s)
		}
		c.must(c.Runc.Kill(c.ctx, ct.id, int(syscall.SIGUSR1), nil))
		ct.out.says("at ", 1)
	}
	if text := ct.out.text(); text == "at 0\n" || text[:3] != "at " {
		t.Errorf("it began again: %q", text)
	}
	c.must(c.Runc.Kill(c.ctx, ct.id, int(syscall.SIGTERM), nil))
	if got := waitFor(t, ct.pid); got != 0 {
		t.Errorf("ended with %d", got)
	}
}

// An impossible checkpoint is refused, and the program runs on.
func TestCheckpointRefusals(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(c.Shell(serve))
	ct.out.says("ready", 1)
	image := filepath.Join(c.Dir, "image")
	for _, o := range []struct {
		opts    runc.CheckpointOpts
		actions []runc.CheckpointAction
	}{
		{runc.CheckpointOpts{ImagePath: image}, []runc.CheckpointAction{runc.PreDump}},
		{runc.CheckpointOpts{ImagePath: image, LazyPages: true}, nil},
		{runc.CheckpointOpts{ImagePath: image, CriuPageServer: "127.0.0.1:1"}, nil},
		{runc.CheckpointOpts{ImagePath: "/proc/nowhere"}, nil},
	} {
		if err := c.Runc.Checkpoint(c.ctx, ct.id, &o.opts, o.actions...); err == nil {
			t.Errorf("%+v was done", o.opts)
		}
	}
	if s := ct.state(); s.Status != "running" {
		t.Errorf("state %+v", s)
	}
	if _, err := os.Stat(image); err == nil {
		t.Error("an image was made")
	}
}
