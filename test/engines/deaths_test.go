package engines

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// parentOf is the parent of a container's process: its shim.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name
	parent, err := strconv.Atoi(strings.Fields(rest)[1])
	must(t, err)
	return parent
}

// hasEnded waits until nothing of the runtime's container with this id runs.
func (w *world) hasEnded(t *testing.T, id string) {
	t.Helper()
	harness.Until(t, 10*time.Second, "the end of the container's processes", func() (bool, string) {
		for _, p := range w.processes() {
			if strings.Contains(p.cmdline, "runsc-") && strings.Contains(p.cmdline, id) {
				return false, p.String()
			}
		}
		return true, ""
	})
}

// restarted are the flags of a container that docker restarts. Without a stop
// signal of its own docker takes any signal that it passes on for the wish that
// the container ends.
var restarted = []string{"--restart", "always", "--stop-signal", "TERM"}

// testDeaths kills the processes between docker and a container that was rolled
// back. The container ends with them, and may be started again.
func testDeaths(t *testing.T, e *engine) {
	for name, victim := range map[string]func(t *testing.T, pid int) int{
		"supervisor": func(_ *testing.T, pid int) int { return pid },
		"shim":       parentOf,
	} {
		t.Run(name, func(t *testing.T) {
			c := e.server(t)
			c.rollBack(t)
			before := c.inspect(t)
			must(t, unix.Kill(victim(t, before.State.Pid), unix.SIGKILL))
			if now := c.reaches(t, "exited"); now.State.ExitCode != 137 {
				t.Errorf("ended with %d", now.State.ExitCode)
			}
			e.world.hasEnded(t, before.ID)
			c.do(t, "start")
			c.says(t, "ready", 2)
			c.rollBack(t)
			c.do(t, "rm", "-f")
			if out := e.runtime(t, "list", "--quiet"); strings.Contains(out, before.ID) {
				t.Errorf("the runtime still has it: %s", out)
			}
		})
	}
	t.Run("supervisor with a restart policy", func(t *testing.T) {
		c := e.server(t, restarted...)
		c.rollBack(t)
		must(t, unix.Kill(c.inspect(t).State.Pid, unix.SIGKILL))
		c.says(t, "ready", 2)
		c.rollBack(t)
	})
	t.Run("daemon", func(t *testing.T) {
		kept, ended := e.server(t, restarted...), e.server(t)
		kept.rollBack(t)
		ended.rollBack(t)
		e.daemon.stop(t, unix.SIGKILL)
		e.daemon.start(t)
		ended.reaches(t, "exited")
		kept.says(t, "ready", 2)
		kept.rollBack(t)
	})
}

// TestDockerLiveRestore has docker's daemon end while containers run, which
// docker is told to let run on. Their events meanwhile must reach the daemon that
// comes after.
func TestDockerLiveRestore(t *testing.T) {
	t.Parallel()
	e := docker(t, map[string]any{"live-restore": true})
	for name, sig := range map[string]unix.Signal{"stopped": unix.SIGTERM, "killed": unix.SIGKILL} {
		t.Run(name, func(t *testing.T) { testLiveRestore(t, e, sig) })
	}
}

func testLiveRestore(t *testing.T, e *engine, sig unix.Signal) {
	c, ending, again := e.server(t), e.server(t), e.server(t, restarted...)
	c.rollBack(t)
	before := c.inspect(t)
	pids := []int{ending.inspect(t).State.Pid, again.inspect(t).State.Pid}
	address := net.JoinHostPort(before.NetworkSettings.IPAddress, "7000")
	c.checkpoint(t)

	e.daemon.stop(t, sig)
	answers(t, e.world, "tcp4", address)
	e.runtime(t, "kill", before.ID, "USR1")
	harness.Until(t, 10*time.Second, "the rollback without a daemon", func() (bool, string) {
		out := e.runtime(t, "episodes", "list", before.ID)
		return strings.Count(out, "recovered") == 2, out
	})
	for _, pid := range pids {
		must(t, unix.Kill(pid, unix.SIGKILL))
	}
	answers(t, e.world, "tcp4", address)
	e.daemon.start(t)

	c.isSame(t, before)
	answers(t, e.world, "tcp4", address)
	c.rollBack(t)
	execVerb(t, c)
	c.says(t, "told 7", 3)
	c.do(t, "stop")
	want(t, c.do(t, "logs"), "bye")
	if s := c.reaches(t, "exited").State; s.ExitCode != 0 {
		t.Errorf("ended with %d", s.ExitCode)
	}
	if s := ending.reaches(t, "exited").State; s.ExitCode != 137 {
		t.Errorf("the one that ended meanwhile ended with %d", s.ExitCode)
	}
	again.says(t, "ready", 2)
}

// testContainerdDeaths kills containerd's daemon, which its containers outlive,
// and the processes between it and a container.
func testContainerdDeaths(t *testing.T, c *containerd) {
	t.Run("daemon", func(t *testing.T) {
		k, ending := c.server(t), c.server(t)
		k.rollBack(t, 1)
		before := k.state(t)
		c.daemon.stop(t, unix.SIGKILL)
		c.runtime(t, "checkpoint", "--into-store", k.id)
		c.runtime(t, "kill", k.id, "USR1")
		k.says(t, "told 7", 2)
		c.runtime(t, "kill", ending.id, "KILL")
		c.daemon.start(t)
		if now := k.state(t); now != before {
			t.Errorf("the task was %q and is %q", before, now)
		}
		ending.stops(t)
		for _, v := range containerdVerbs {
			t.Run(v.name, func(t *testing.T) { v.do(t, k) })
		}
		k.rollBack(t, 3)
		c.do(t, "task", "kill", "-s", "TERM", k.id)
		k.says(t, "bye", 1)
		k.stops(t)
	})
	for name, victim := range map[string]func(t *testing.T, pid int) int{
		"supervisor": func(_ *testing.T, pid int) int { return pid },
		"shim":       parentOf,
	} {
		t.Run(name, func(t *testing.T) {
			k := c.server(t)
			k.rollBack(t, 1)
			pid, err := strconv.Atoi(strings.Fields(k.state(t))[0])
			must(t, err)
			must(t, unix.Kill(victim(t, pid), unix.SIGKILL))
			k.stops(t)
			c.world.hasEnded(t, "/"+k.id)
		})
	}
}
