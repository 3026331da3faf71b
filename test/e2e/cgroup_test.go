package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

func TestCgroup(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	limit := int64(1000)
	id := filepath.Base(rt.Dir) + "-1"
	b.Spec.Linux.CgroupsPath = "/" + id
	b.Spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: limit}}
	c := rt.Start(b.Write())
	c.Says("ready", 1)
	if membership := cgroupOf(t, c.Pid); !strings.Contains(membership, "/"+id) {
		t.Errorf("the supervisor is in\n%s", membership)
	}
	r := rt.Try("events", "--stats", c.ID)
	if r.Code != 0 || !strings.Contains(r.Stdout, `"pids"`) {
		t.Errorf("%v", r)
	}
	rt.Do("fail", c.ID)
	c.Says("told level 1", 1)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
	c.Delete()
	rt.CheckLeaks()
}

// cgroupOf is the kernel's list of a process's cgroups.
func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	membership, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	must(t, err)
	return string(membership)
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// systemd knows the limits of a scope, so that it doesn't take them away when
// its configuration is loaded again, and the scope goes with the container.
func TestSystemdScope(t *testing.T) {
	rt := harness.New(t)
	harness.NeedSystemd(t)
	rt.Globals = append(rt.Globals, "--systemd-cgroup")
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	memory, pids := int64(300<<20), int64(500)
	name := filepath.Base(rt.Dir) + "-1"
	unit := "rr-" + name + ".scope"
	b.Spec.Linux.CgroupsPath = "system.slice:rr:" + name
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: pids}}
	b.Write()
	for range 2 { // a scope's name is free when its container is deleted
		c := rt.Start(b)
		c.Says("ready", 1)
		if membership := cgroupOf(t, c.Pid); !strings.Contains(membership, "/"+unit) {
			t.Errorf("the supervisor is in\n%s", membership)
		}
		rt.Do("update", "--memory", "209715200", c.ID)
		systemctl(t, "daemon-reload")
		rt.Do("fail", c.ID)
		c.Says("told level 1", 1)
		if got := systemctl(t, "show", unit, "-p", "MemoryMax", "-p", "TasksMax"); got != "MemoryMax=209715200\nTasksMax=500" {
			t.Errorf("systemd has %s", got)
		}
		if out := rt.Do("events", "--stats", c.ID); !strings.Contains(out, "209715200") || !strings.Contains(out, "500") {
			t.Errorf("the limits are gone: %s", out)
		}
		must(t, unix.Kill(c.Pid, unix.SIGKILL))
		c.Exits(137)
		c.Delete("--force")
		if left := systemctl(t, "list-units", "--all", "--no-legend", unit); left != "" {
			t.Errorf("left behind: %s", left)
		}
		rt.CheckLeaks()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
