package runc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// The places where plain runsc surprises the callers of runc.

// A bundle's mistake shows at create, by name, and leaves nothing.
func TestMistakesShowAtCreate(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	for want, spoil := range map[string]func(*specs.Spec){
		`exec: "nosuch": executable file not found in $PATH`: func(s *specs.Spec) { s.Process.Args = []string{"nosuch"} },
		`exec: "/nosuch": stat /nosuch: no such file`:        func(s *specs.Spec) { s.Process.Args = []string{"/nosuch"} },
		`exec: "/etc/passwd": permission denied`:             func(s *specs.Spec) { s.Process.Args = []string{"/etc/passwd"} },
		"RLIMIT_NOSUCH":                                      func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOSUCH"}} },
		"soft limit 2 is above the hard limit 1": func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 2, Hard: 1}}
		},
		"CAP_NOSUCH": func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NOSUCH"} },
		"network namespace: stat /nosuch: no such file": func(s *specs.Spec) { s.Linux.Namespaces = []specs.LinuxNamespace{{Type: "network", Path: "/nosuch"}} },
	} {
		b := c.Shell(serve)
		spoil(b.Spec)
		b.Write()
		r := c.Try("create", "--bundle", b.Dir, c.NewID())
		if r.Code != 1 || !strings.Contains(unquote(r.Stderr), want) {
			t.Errorf("want exit 1 and %q, got %v", want, r)
		}
		c.CheckLeaks()
	}
}

// unquote takes back the text log's escaping of quotation marks.
func unquote(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }

// A start that fails ends the container, so that whoever waits sees the end,
// and delete leaves nothing.
func TestAFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell(serve)
	if err := os.WriteFile(b.Rootfs("bin", "broken"), []byte("\x7fELF and nothing else"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.Spec.Process.Args = []string{"/bin/broken"}
	b.Write()
	ct := c.create(b)
	if err := c.Runc.Start(c.ctx, ct.id); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("start: %v", err)
	}
	if status := waitFor(t, ct.pid); status == 0 {
		t.Error("the supervisor ended with 0")
	}
	ct.reaches("stopped")
	c.must(c.Runc.Delete(c.ctx, ct.id, nil))
	c.CheckLeaks()
	// The same by run, which cleans up by itself.
	for _, flags := range [][]string{nil, {"--detach"}} {
		args := append(append([]string{"run"}, flags...), "--bundle", b.Dir, c.NewID())
		if r := c.Try(args...); r.Code != 1 || !strings.Contains(r.Stderr, "broken") {
			t.Errorf("%v", r)
		}
	}
	c.CheckLeaks()
}

// A signal to a paused container waits for resume; KILL doesn't.
func TestKillWhilePaused(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"first generation": false, "after a rollback": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, runc.JSON)
			queued, killed := c.start(c.Shell(serve)), c.start(c.Shell(serve))
			for _, ct := range []*container{queued, killed} {
				ct.out.says("ready", 1)
				if again {
					ct.rollBack()
				}
				c.must(c.Runc.Pause(c.ctx, ct.id))
			}
			c.must(c.Runc.Kill(c.ctx, queued.id, int(syscall.SIGTERM), nil))
			c.must(c.Runc.Kill(c.ctx, killed.id, int(syscall.SIGKILL), nil))
			if got := waitFor(t, killed.pid); got != 137 {
				t.Errorf("KILL ended it with %d", got)
			}
			if s := queued.state().Status; s != "paused" {
				t.Errorf("TERM made it %s", s)
			}
			c.must(c.Runc.Resume(c.ctx, queued.id))
			if got := waitFor(t, queued.pid); got != 0 {
				t.Errorf("TERM ended it with %d", got)
			}
		})
	}
}

// A limit that is too small for the sandbox is named as the reason; one on
// processes is never in its way.
func TestSmallLimits(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	for _, mib := range []int64{2, 6, 10} {
		b := withMemory(c, c.Shell(serve), mib<<20)
		if r := c.Try("run", "--detach", "--bundle", b.Dir, c.NewID()); r.Code != 1 || !strings.Contains(r.Stderr, "memory limit is too small") {
			t.Errorf("%d MiB: %v", mib, r)
		}
		c.CheckLeaks()
	}
	b := c.Shell(serve)
	b.Spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 10}}
	b.Write()
	ct := c.start(b)
	ct.out.says("ready", 1)
	for range 3 {
		ct.rollBack()
		if _, err := ct.exec("true"); err != nil {
			t.Error(err)
		}
	}
}

// The supervisor's zombie, which its parent hasn't looked at yet, isn't a
// container that runs.
func TestAZombieIsNotRunning(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	for name, end := range map[string]func(*container) error{
		"ended":  func(ct *container) error { return ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGTERM), nil) },
		"killed": func(ct *container) error { return unix.Kill(ct.pid, unix.SIGKILL) },
	} {
		ct := c.start(c.Shell(serve))
		ct.out.says("ready", 1)
		c.must(end(ct))
		ct.reaches("stopped")
		harness.Until(t, 10*time.Second, "zombie", func() (bool, string) {
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(ct.pid), "stat"))
			return err == nil && strings.Contains(string(b), ") Z "), string(b)
		})
		if s := ct.state(); s.Status != "stopped" || s.Pid != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if pids, err := c.Runc.Ps(c.ctx, ct.id); len(pids) != 0 || err != nil {
			t.Errorf("%s: ps %v, %v", name, pids, err)
		}
		c.must(c.Runc.Delete(c.ctx, ct.id, nil))
		waitFor(t, ct.pid)
	}
	c.CheckLeaks()
}

// Engines unmount the rootfs before they delete.
func TestDeleteWithoutTheRootfs(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell(serve)
	image := filepath.Join(c.Dir, "image")
	c.must(os.Rename(b.Rootfs(), image))
	c.must(os.Mkdir(b.Rootfs(), 0o755))
	c.must(unix.Mount(image, b.Rootfs(), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(b.Rootfs(), unix.MNT_DETACH) })
	ct := c.start(b)
	ct.out.says("ready", 1)
	ct.rollBack()
	c.must(c.Runc.Kill(c.ctx, ct.id, int(syscall.SIGKILL), nil))
	ct.reaches("stopped")
	c.must(unix.Unmount(b.Rootfs(), 0))
	c.must(os.RemoveAll(b.Dir))
	c.must(c.Runc.Delete(c.ctx, ct.id, nil))
	c.CheckLeaks()
}

// A reader of the state file finds all of it at any moment.
func TestTheStateFileIsNeverTruncated(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(c.Shell(serve))
	ct.out.says("ready", 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			b, err := os.ReadFile(filepath.Join(c.Runtime.Root, ct.id, "state.json"))
			if err != nil || !json.Valid(b) {
				t.Errorf("state.json holds %q, %v", b, err)
				return
			}
		}
	}()
	for range 5 {
		c.must(c.Runc.Pause(c.ctx, ct.id))
		c.must(c.Runc.Resume(c.ctx, ct.id))
		ct.rollBack()
	}
	close(stop)
	<-done
}

// A container in its caller's network namespace, by having none of its own or
// by the path of its caller's, has the host's network, without being asked.
func TestTheHostsNetwork(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	for name, ns := range map[string][]specs.LinuxNamespace{
		"none": {{Type: specs.PIDNamespace}},
		"path": {{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"}},
	} {
		b := c.Shell(serve)
		b.Spec.Linux.Namespaces = ns
		b.Write()
		ct := c.start(b)
		ct.out.says("ready", 1)
		host, err := os.ReadFile("/proc/net/route")
		c.must(err)
		interfaces := strings.Count(string(host), "\n")
		for i := range 2 {
			if i > 0 {
				ct.rollBack()
			}
			if got, err := ct.exec("ip addr"); err != nil || interfaces > 1 && !strings.Contains(got, "eth") && !strings.Contains(got, "en") {
				t.Errorf("%s: %v: %s", name, err, got)
			}
		}
	}
}

// Run --keep leaves the container to be looked at.
func TestRunKeep(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	id := c.NewID()
	if r := c.Try("run", "--keep", "--bundle", c.Shell("exit 3").Dir, id); r.Code != 3 {
		t.Errorf("%v", r)
	}
	s, err := c.Runc.State(c.ctx, id)
	c.must(err)
	if s.Status != "stopped" || s.Pid != 0 {
		t.Errorf("%+v", s)
	}
	c.must(c.Runc.Delete(c.ctx, id, nil))
}
