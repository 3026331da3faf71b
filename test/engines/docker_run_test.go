package engines

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// option is a flag of `run` and its effect in a container.
type option struct {
	name    string
	flags   []string
	command string
	want    string
}

// options that docker and podman have in common.
var options = []option{
	{"plain", nil, "echo hello; id -u", "hello\n0"},
	{"init", []string{"--init"}, "ps", "-init"},
	{"read-only", []string{"--read-only", "--tmpfs", "/t"}, "touch /x 2>&1; touch /t/x && echo ok", "Read-only file system\nok"},
	{"environment", []string{"-e", "A=b"}, "echo $A", "b"},
	{"user and directory", []string{"-u", "1000:1000", "-w", "/tmp"}, "id -u; pwd", "1000\n/tmp"},
	{"hostname", []string{"-h", "other"}, "hostname", "other"},
	{"limits", []string{"--memory", "64m", "--cpus", "0.5", "--pids-limit", "100"}, "echo ok", "ok"},
	{"small pids limit", []string{"--pids-limit", "10"}, "echo ok", "ok"},
	{"no network", []string{"--network", "none"}, "ip address", "127.0.0.1"},
	{"no new privileges", []string{"--security-opt", "no-new-privileges"}, "grep NoNewPrivs /proc/self/status", "1"},
	{"rlimits", []string{"--ulimit", "nofile=123:456"}, "ulimit -n; ulimit -Hn", "123\n456"},
	{"dropped capabilities", []string{"--cap-drop", "ALL"}, "grep CapEff /proc/self/status", "0000000000000000"},
}

func testOptions(t *testing.T, e *engine) {
	for _, o := range options {
		t.Run(o.name, func(t *testing.T) {
			want(t, e.prints(t, o.flags, "sh", "-c", o.command), o.want)
		})
	}
}

// testStatuses checks how containers end, and the errors of those that can't
// begin.
func testStatuses(t *testing.T, e *engine) {
	for _, end := range []struct {
		name    string
		flags   []string
		command []string
		code    int
		says    string
	}{
		{"exit", nil, []string{"sh", "-c", "exit 7"}, 7, ""},
		{"segmentation fault", nil, []string{"sh", "-c", "kill -SEGV $$"}, 139, ""},
		{"kill", nil, []string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{"no such program", nil, []string{"nosuch"}, 127, "executable file not found in $PATH"},
		{"no such file", nil, []string{"/nosuch"}, 127, "no such file or directory"},
		{"not executable", nil, []string{"/etc/passwd"}, 126, "permission denied"},
		{"memory for nothing", []string{"--memory", "6m"}, []string{"true"}, 125, "memory limit"},
	} {
		t.Run(end.name, func(t *testing.T) {
			r := e.once(t, end.flags, end.command...)
			if e.name == "podman" && end.code == 125 && r.Code == 126 {
				r.Code = 125 // podman has no number of its own for it
			}
			if r.Code != end.code || !strings.Contains(r.Stderr, end.says) {
				t.Errorf("want status %d and %q, got %v", end.code, end.says, r)
			}
		})
	}
}

// testEnds ends containers that were rolled back in every way that there is.
func testEnds(t *testing.T, e *engine) {
	for _, end := range []struct {
		name string
		end  func(t *testing.T, c *container)
		code int
	}{
		{"stop", func(t *testing.T, c *container) { c.do(t, "stop"); want(t, c.do(t, "logs"), "bye") }, 0},
		{"kill", func(t *testing.T, c *container) { c.do(t, "kill") }, 137},
		{"kill while paused", func(t *testing.T, c *container) {
			c.do(t, "pause")
			began := time.Now()
			c.do(t, "kill")
			c.reaches(t, "exited")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the kill took %v", took)
			}
		}, 137},
	} {
		t.Run(end.name, func(t *testing.T) {
			if e.name == "podman" && end.name == "kill while paused" {
				return // podman itself refuses
			}
			c := e.server(t)
			c.rollBack(t)
			end.end(t, c)
			if s := c.reaches(t, "exited").State; s.ExitCode != end.code {
				t.Errorf("ended with %d, want %d", s.ExitCode, end.code)
			}
		})
	}
	t.Run("restart and start", func(t *testing.T) {
		c := e.server(t)
		c.rollBack(t)
		c.do(t, "restart")
		c.says(t, "ready", 2)
		c.rollBack(t)
		c.do(t, "stop")
		c.do(t, "start")
		c.says(t, "ready", 3)
	})
	t.Run("remove", func(t *testing.T) {
		c := e.server(t)
		id := c.inspect(t).ID
		c.rollBack(t)
		c.do(t, "rm", "-f")
		if out := e.runtime(t, "list", "--quiet"); strings.Contains(out, id) {
			t.Errorf("the runtime still has it: %s", out)
		}
	})
	t.Run("wait", func(t *testing.T) {
		c := e.server(t)
		c.rollBack(t)
		waited := make(chan harness.Result, 1)
		go func() { waited <- e.try(t, "wait", c.name) }()
		c.do(t, "kill", "-s", "TERM")
		if r := <-waited; strings.TrimSpace(r.Stdout) != "0" {
			t.Errorf("wait: %v", r)
		}
	})
}

// testRestartPolicy lets a program that isn't rolled back fail again and
// again.
func testRestartPolicy(t *testing.T, e *engine) {
	c := e.start(t, []string{"--restart", "on-failure:2"}, "sh", "-c", "echo once; exit 3")
	c.says(t, "once", 3)
	harness.Until(t, 30*time.Second, "the end of the last one", func() (bool, string) {
		now := c.inspect(t)
		return now.State.Status == "exited" && now.RestartCount == 2 && now.State.ExitCode == 3, fmt.Sprintf("%+v", now)
	})
}

// testTerminal runs a container and a process in it on a terminal.
func testTerminal(t *testing.T, e *engine) {
	line := strings.Join(append(append(append([]string{}, e.client...), "run", "--rm", "-it"), e.run...), " ")
	r := e.world.try(t, "", "script", "-qec", line+" "+imageName+" sh -c 'test -t 0 && echo terminal $((6*7))'", "/dev/null")
	want(t, r.Stdout, "terminal 42")
}

// testOutOfMemory lets the kernel kill a container: engines must see why.
func testOutOfMemory(t *testing.T, e *engine) {
	c := e.start(t, append([]string{"--memory", "64m", "--memory-swap", "64m"}, e.off...), "echo-server", "eat")
	now := c.reaches(t, "exited")
	if !now.State.OOMKilled || now.State.ExitCode != 137 {
		t.Errorf("want an out-of-memory kill, got %+v", now.State)
	}
}

// testImages ends a container by saving it, and starts it again where it was.
func testImages(t *testing.T, e *engine) {
	c := e.server(t)
	c.rollBack(t)
	e.do(t, "checkpoint", "create", c.name, "first")
	c.reaches(t, "exited")
	// Docker refuses, whatever the runtime, while containerd hasn't yet
	// forgotten the image that it made.
	harness.Until(t, 30*time.Second, "start from the image", func() (bool, string) {
		r := e.try(t, "start", "--checkpoint", "first", c.name)
		if r.Code != 0 && !strings.Contains(r.Stderr, "already exists") {
			t.Fatalf("%v", r)
		}
		return r.Code == 0, r.String()
	})
	c.reaches(t, "running")
	address := c.inspect(t).NetworkSettings.IPAddress + ":7000"
	answers(t, e.world, "tcp4", address)
	if out := c.do(t, "logs"); strings.Count(out, "ready") != 1 {
		t.Errorf("it began afresh: %s", out)
	}
	c.rollBack(t)
	answers(t, e.world, "tcp4", address)
}
