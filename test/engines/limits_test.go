package engines

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// limit is where a cgroup of either version keeps one.
type limit struct{ controller, v1, v2 string }

var (
	memoryLimit = limit{"memory", "memory.limit_in_bytes", "memory.max"}
	cpuLimit    = limit{"cpu", "cpu.cfs_quota_us", "cpu.max"}
	pidsLimit   = limit{"pids", "pids.max", "pids.max"}
)

// limitOf is a limit of the container whose pid this is.
func limitOf(t *testing.T, pid int, l limit) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		// ID:CONTROLLERS:PATH, without controllers in version 2
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		file := filepath.Join("/sys/fs/cgroup", l.controller, f[2], l.v1)
		if f[1] == "" {
			file = filepath.Join("/sys/fs/cgroup", f[2], l.v2)
		} else if !strings.Contains(","+f[1]+",", ","+l.controller+",") {
			continue
		}
		if b, err := os.ReadFile(file); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ") // of quota and period
			return first
		}
	}
	t.Fatalf("no %s for process %d in:\n%s", l.v1, pid, text)
	return ""
}

// updateVerb changes limits up and down: the kernel must have them, and the
// program must find as much memory as it may use.
func updateVerb(t *testing.T, c *container) {
	pid := c.inspect(t).State.Pid
	for _, mib := range []int{300, 400, 250} {
		size := fmt.Sprintf("%dm", mib)
		c.do(t, "update", "--memory", size, "--memory-swap", size, "--cpus", "1.5")
		if got := limitOf(t, pid, memoryLimit); got != strconv.Itoa(mib<<20) {
			t.Errorf("the memory limit is %s, want %d MiB", got, mib)
		}
		want(t, c.exec(t, "grep", "MemTotal", "/proc/meminfo"), fmt.Sprintf(" %d kB", mib<<10))
	}
	if got := limitOf(t, pid, cpuLimit); got != "150000" {
		t.Errorf("the quota is %s", got)
	}
}

// testEnforced lowers the memory limit of a container that was rolled back,
// and has a process in it take more. The kernel kills the largest process: that
// one, or the sandbox, which is rolled back.
func testEnforced(t *testing.T, e *engine) {
	c := e.server(t)
	c.rollBack(t)
	before := c.inspect(t)
	c.do(t, "update", "--memory", "128m", "--memory-swap", "128m")
	c.checkpoint(t)
	if r := e.try(t, "exec", c.name, "echo-server", "eat"); r.Code != 137 {
		t.Errorf("want status 137 of a process that takes too much, got %v", r)
	}
	answers(t, e.world, "tcp4", net.JoinHostPort(before.NetworkSettings.IPAddress, "7000"))
	c.isSame(t, before)
	want(t, c.exec(t, "grep", "MemTotal", "/proc/meminfo"), fmt.Sprintf(" %d kB", 128<<10))
}
