package runc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/harness"
)

// TestCalls makes every call of go-runc on a container, before and after a
// rollback, with both formats of the log.
func TestCalls(t *testing.T) {
	t.Parallel()
	for _, format := range []runc.Format{runc.JSON, runc.Text} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			c := newClient(t, format)
			ct := c.start(withMemory(c, c.Shell(serve), 512<<20))
			ct.out.says("ready", 1)
			for i, when := range []string{"before", "after a rollback", "after another"} {
				if i > 0 {
					ct.rollBack()
				}
				t.Run(when, func(t *testing.T) { ct.checkCalls(t) })
			}
			ct.checkEnd()
		})
	}
}

// withMemory gives a bundle a cgroup with a limit.
func withMemory(c *client, b *harness.Bundle, limit int64) *harness.Bundle {
	b.Spec.Linux.CgroupsPath = "/" + filepath.Base(c.Dir) + "-cgroup"
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	b.Spec.Annotations["colour"] = "blue"
	return b.Write()
}

func (ct *container) checkCalls(t *testing.T) {
	on := *ct.client
	on.t = t
	here := &container{client: &on, id: ct.id, pid: ct.pid, out: ct.out}
	here.checkStateAndList()
	here.checkKill()
	here.checkPauseAndResume()
	here.checkProcesses()
	here.checkStats()
	here.checkUpdate()
	here.checkExec()
	here.checkCheckpoint()
}

func (ct *container) checkStateAndList() {
	ct.t.Helper()
	s := ct.state()
	if s.ID != ct.id || s.Pid != ct.pid || s.Status != "running" || s.Rootfs == "" || s.Bundle == "" || s.Created.IsZero() || s.Annotations["colour"] != "blue" {
		ct.t.Errorf("state %+v", s)
	}
	all, err := ct.Runc.List(ct.ctx)
	ct.must(err)
	i := slices.IndexFunc(all, func(l *runc.Container) bool { return l.ID == ct.id })
	if i < 0 || fmt.Sprint(*all[i]) != fmt.Sprint(*s) {
		ct.t.Errorf("list doesn't show %+v: %+v", s, all)
	}
}

func (ct *container) checkKill() {
	ct.t.Helper()
	before := strings.Count(ct.out.text(), "hello")
	ct.must(ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGUSR1), nil))
	ct.out.says("hello", before+1)
	ct.must(ct.Runc.Kill(ct.ctx, ct.id, 0, nil))
}

func (ct *container) checkPauseAndResume() {
	ct.t.Helper()
	ct.must(ct.Runc.Pause(ct.ctx, ct.id))
	if s := ct.state(); s.Status != "paused" || s.Pid != ct.pid {
		ct.t.Errorf("paused: %+v", s)
	}
	ct.must(ct.Runc.Resume(ct.ctx, ct.id))
	if s := ct.state(); s.Status != "running" {
		ct.t.Errorf("resumed: %+v", s)
	}
}

// The pids are the host's, and all of them are the container's.
func (ct *container) checkProcesses() {
	ct.t.Helper()
	pids, err := ct.Runc.Ps(ct.ctx, ct.id)
	ct.must(err)
	if len(pids) < 3 || !slices.Contains(pids, ct.pid) {
		ct.t.Errorf("ps %v, supervisor %d", pids, ct.pid)
	}
	top, err := ct.Runc.Top(ct.ctx, ct.id, "-eo pid,comm")
	ct.must(err)
	// Copies that are kept ready come and go between the two.
	own := func(p []string) bool { return p[0] == strconv.Itoa(ct.pid) }
	if len(top.Headers) != 2 || len(top.Processes) < 3 || len(top.Processes) > 2*len(pids) || !slices.ContainsFunc(top.Processes, own) {
		ct.t.Errorf("top %+v, ps %v", top, pids)
	}
}

func (ct *container) checkStats() {
	ct.t.Helper()
	s := ct.stats()
	if s.Cpu.Usage.Total == 0 || s.Memory.Usage.Usage == 0 || s.Memory.Usage.Limit == 0 || s.Pids.Current == 0 {
		ct.t.Errorf("stats %+v", s)
	}
}

func (ct *container) checkUpdate() {
	ct.t.Helper()
	for _, limit := range []int64{300 << 20, 400 << 20} {
		ct.must(ct.Runc.Update(ct.ctx, ct.id, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}))
		if s := ct.stats(); s.Memory.Usage.Limit != uint64(limit) {
			ct.t.Errorf("limit %d, want %d", s.Memory.Usage.Limit, limit)
		}
	}
}

func (ct *container) checkExec() {
	ct.t.Helper()
	if out, err := ct.exec("echo in; exit 3"); out != "in\n" {
		ct.t.Errorf("exec printed %q", out)
	} else {
		wantStatus(ct.t, err, 3)
	}
	if _, err := ct.exec("true"); err != nil {
		ct.t.Error(err)
	}
	_, err := ct.exec("kill -9 $$")
	wantStatus(ct.t, err, 137)
}

func (ct *container) checkCheckpoint() {
	ct.t.Helper()
	dir := filepath.Join(ct.Dir, fmt.Sprintf("image-%d", time.Now().UnixNano()))
	status, err := os.Create(filepath.Join(ct.Dir, "status"))
	ct.must(err)
	defer status.Close()
	ct.must(ct.Runc.Checkpoint(ct.ctx, ct.id, &runc.CheckpointOpts{
		ImagePath: dir, WorkDir: ct.Dir, AllowOpenTCP: true, AllowExternalUnixSockets: true, AllowTerminal: true,
		FileLocks: true, Cgroups: runc.Soft, EmptyNamespaces: []string{"network"}, StatusFile: status,
	}, runc.LeaveRunning))
	if s := ct.state(); s.Status != "running" || s.Pid != ct.pid {
		ct.t.Errorf("after a checkpoint: %+v", s)
	}
}

// checkEnd ends the container and deletes it, each as containerd does.
func (ct *container) checkEnd() {
	ct.t.Helper()
	ct.must(ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGKILL), &runc.KillOpts{All: true}))
	ct.reaches("stopped")
	ct.must(ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGKILL), &runc.KillOpts{All: true}))
	ct.must(ct.Runc.Delete(ct.ctx, ct.id, nil))
	ct.must(ct.Runc.Delete(ct.ctx, ct.id, &runc.DeleteOpts{Force: true}))
	all, err := ct.Runc.List(ct.ctx)
	ct.must(err)
	if len(all) != 0 {
		ct.t.Errorf("list %+v", all)
	}
}

func TestVersionAndFeatures(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	v, err := c.Runc.Version(c.ctx)
	c.must(err)
	if v.Runc == "" || v.Commit == "" || !strings.HasPrefix(v.Spec, "1.") {
		t.Errorf("version %+v", v)
	}
	f, err := c.Runc.Features(c.ctx)
	c.must(err)
	if f.OCIVersionMax != v.Spec || len(f.Hooks) == 0 || f.Linux == nil || len(f.Linux.Namespaces) == 0 {
		t.Errorf("features %+v", f)
	}
}
