package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// containerd is one of the test's own, driven by ctr.
type containerd struct {
	world  *world
	socket string
	rootfs string
	daemon *daemon
	count  int
}

func newContainerd(t *testing.T) *containerd {
	t.Helper()
	harness.NeedProgram(t, "containerd")
	w := newWorld(t)
	c := &containerd{world: w, socket: filepath.Join(w.dir, "s")}
	buildImage(t, w)
	c.rootfs = filepath.Join(w.dir, "image")
	file := filepath.Join(w.dir, "config.toml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = %q
`, filepath.Join(w.dir, "data"), filepath.Join(w.dir, "x"), c.socket), 0o644))
	c.daemon = startDaemon(t, w, []string{"ctr", "-a", c.socket, "version"}, "containerd", "-c", file)
	return c
}

func (c *containerd) try(t *testing.T, args ...string) harness.Result {
	t.Helper()
	return c.world.try(t, "", slices.Concat([]string{"ctr", "-a", c.socket}, args)...)
}

func (c *containerd) do(t *testing.T, args ...string) string {
	t.Helper()
	r := c.try(t, args...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return strings.TrimSpace(r.Stdout)
}

func (c *containerd) runtime(t *testing.T, args ...string) string {
	t.Helper()
	r := c.world.try(t, "", slices.Concat([]string{c.world.binary, "--root", "/run/containerd/runc/default"}, args)...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return r.Stdout
}

func (c *containerd) runFlags() []string {
	return []string{"--runtime", "io.containerd.runc.v2", "--runc-binary", c.world.binary, "--cgroup", "/" + c.world.cgroup, "--rootfs"}
}

// task is one that runs the echo server.
type task struct {
	c       *containerd
	id, log string
}

func (c *containerd) server(t *testing.T) *task {
	t.Helper()
	c.count++
	k := &task{c: c, id: fmt.Sprintf("t%d", c.count)}
	k.log = filepath.Join(c.world.dir, k.id+".out")
	t.Cleanup(func() { k.remove(t) })
	c.do(t, slices.Concat([]string{"run", "-d", "--log-uri", "file://" + k.log}, c.runFlags(), []string{c.rootfs, k.id, "/bin/echo-server"})...)
	k.says(t, "ready", 1)
	return k
}

func (k *task) remove(t *testing.T) {
	t.Helper()
	k.c.try(t, "task", "kill", "-s", "KILL", k.id)
	harness.Until(t, 30*time.Second, "the task's end", func() (bool, string) {
		r := k.c.try(t, "task", "delete", k.id)
		return r.Code == 0 || strings.Contains(r.Stderr, "not found") || strings.Contains(r.Stderr, "exit with non-zero"), r.String()
	})
	k.c.do(t, "container", "delete", k.id)
}

func (k *task) says(t *testing.T, text string, times int) {
	t.Helper()
	harness.Until(t, 30*time.Second, fmt.Sprintf("%q %d times in the log", text, times), func() (bool, string) {
		out, err := os.ReadFile(k.log)
		return err == nil && strings.Count(string(out), text) >= times, string(out)
	})
}

// state is the task's line of the list: its pid and status.
func (k *task) state(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(k.c.do(t, "task", "ls")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == k.id {
			return f[1] + " " + f[2]
		}
	}
	return ""
}

// stops waits for the task's end. Containerd forgets one whose shim is gone.
func (k *task) stops(t *testing.T) {
	t.Helper()
	harness.Until(t, 30*time.Second, "the end", func() (bool, string) {
		s := k.state(t)
		return s == "" || strings.HasSuffix(s, "STOPPED"), s
	})
}

// exec runs a process in the task and returns its output. ctr gives up a FIFO
// that it hasn't opened when the process is over, and on a busy machine with that
// all of the output: containerd's client cancels its copying before it waits for
// it. So a process that printed nothing runs again.
func (k *task) exec(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	command := slices.Concat([]string{"ctr", "-a", k.c.socket, "task", "exec", "--exec-id", "e"}, args)
	for range 3 {
		r := k.c.world.try(t, stdin, command...)
		if r.Code != 0 {
			t.Fatalf("%v", r)
		}
		if out := strings.TrimSpace(r.Stdout); out != "" {
			return out
		}
	}
	return ""
}

func (k *task) rollBack(t *testing.T, times int) {
	t.Helper()
	k.c.runtime(t, "checkpoint", "--into-store", k.id)
	k.c.do(t, "task", "kill", "-s", "USR1", k.id)
	k.says(t, "told 7", times)
}

// containerdVerbs are ctr's commands for a task that runs.
var containerdVerbs = []struct {
	name string
	do   func(t *testing.T, k *task)
}{
	{"exec", func(t *testing.T, k *task) {
		want(t, k.exec(t, "", k.id, "/bin/ps"), "echo-server")
	}},
	{"exec as another", func(t *testing.T, k *task) {
		want(t, k.exec(t, "", "--user", "1000", "--cwd", "/tmp", k.id, "/bin/sh", "-c", "id -u; pwd"), "1000\n/tmp")
	}},
	{"exec with stdin", func(t *testing.T, k *task) {
		want(t, k.exec(t, "over\n", k.id, "/bin/head", "-n", "1"), "over")
	}},
	{"exec with a terminal", func(t *testing.T, k *task) {
		want(t, k.c.onTerminal(t, "task", "exec", "-t", "--exec-id", "e", k.id, "/bin/sh", "-c", "'test -t 1 && echo terminal'"), "terminal")
	}},
	{"exec detached", func(t *testing.T, k *task) {
		id := fmt.Sprint(time.Now().UnixNano()) // ctr leaves it
		k.c.do(t, "task", "exec", "-d", "--exec-id", id, k.id, "/bin/touch", "/tmp/detached")
		harness.Until(t, 10*time.Second, "the file", func() (bool, string) {
			r := k.c.try(t, "task", "exec", "--exec-id", "e", k.id, "/bin/ls", "/tmp/detached")
			return r.Code == 0, r.String()
		})
	}},
	{"exec status", func(t *testing.T, k *task) {
		if r := k.c.try(t, "task", "exec", "--exec-id", "e", k.id, "/bin/sh", "-c", "exit 3"); r.Code != 3 {
			t.Errorf("want status 3, got %v", r)
		}
	}},
	{"pause", func(t *testing.T, k *task) {
		k.c.do(t, "task", "pause", k.id)
		want(t, k.state(t), "PAUSED")
		k.c.do(t, "task", "resume", k.id)
		want(t, k.state(t), "RUNNING")
	}},
	{"metrics", func(t *testing.T, k *task) { want(t, k.c.do(t, "task", "metrics", k.id), "memory.usage") }},
	{"signal", func(t *testing.T, k *task) {
		before, err := os.ReadFile(k.log)
		must(t, err)
		k.c.do(t, "task", "kill", "-s", "HUP", k.id)
		k.says(t, "hup", strings.Count(string(before), "hup")+1)
	}},
	{"processes", func(t *testing.T, k *task) { want(t, k.c.do(t, "task", "ps", k.id), strings.Fields(k.state(t))[0]) }},
}

func TestContainerd(t *testing.T) {
	t.Parallel()
	c := newContainerd(t)
	t.Run("rollback", func(t *testing.T) {
		k := c.server(t)
		each := func(t *testing.T) {
			for _, v := range containerdVerbs {
				t.Run(v.name, func(t *testing.T) { v.do(t, k) })
			}
		}
		t.Run("before", each)
		before := k.state(t)
		k.rollBack(t, 1)
		t.Run("after", each)
		if now := k.state(t); now != before {
			t.Errorf("the task was %q and is %q", before, now)
		}
	})
	t.Run("kill", func(t *testing.T) {
		k := c.server(t)
		k.rollBack(t, 1)
		k.c.do(t, "task", "kill", "-s", "TERM", k.id)
		k.says(t, "bye", 1)
		k.stops(t)
	})
	t.Run("status", func(t *testing.T) {
		for command, code := range map[string]int{"exit 7": 7, "kill -SEGV $$": 139} {
			r := c.try(t, slices.Concat([]string{"run", "--rm"}, c.runFlags(), []string{c.rootfs, "once", "/bin/sh", "-c", command})...)
			if r.Code != code {
				t.Errorf("want status %d, got %v", code, r)
			}
		}
	})
	t.Run("options", func(t *testing.T) { testContainerdOptions(t, c) })
	t.Run("terminal", func(t *testing.T) {
		args := slices.Concat([]string{"run", "--rm", "-t"}, c.runFlags(), []string{c.rootfs, "term", "/bin/sh", "-c", "'test -t 0 && echo terminal $((6*7))'"})
		want(t, c.onTerminal(t, args...), "terminal 42")
	})
	t.Run("out of memory", func(t *testing.T) { testContainerdOOM(t, c) })
	t.Run("images", func(t *testing.T) { testContainerdImages(t, c) })
	t.Run("missing program", func(t *testing.T) {
		r := c.try(t, slices.Concat([]string{"run", "--rm"}, c.runFlags(), []string{c.rootfs, "none", "/nosuch"})...)
		if r.Code == 0 || !strings.Contains(r.Stderr, "no such file") {
			t.Errorf("want an error that names the file, got %v", r)
		}
	})
	t.Run("deaths", func(t *testing.T) { testContainerdDeaths(t, c) })
	t.Run("exec outlived by nothing", func(t *testing.T) { testExecKilled(t, c) })
}

// testExecKilled kills the process that stands for an exec, as engines do: the
// process in the sandbox must not live on.
func testExecKilled(t *testing.T, c *containerd) {
	k := c.server(t)
	k.c.do(t, "task", "exec", "--detach", "--exec-id", "long", k.id, "/bin/sleep", "1000")
	harness.Until(t, 10*time.Second, "the process", func() (bool, string) {
		out := k.c.runtime(t, "ps", k.id)
		return strings.Contains(out, "sleep"), out
	})
	k.c.do(t, "task", "kill", "-s", "KILL", "--exec-id", "long", k.id)
	harness.Until(t, 10*time.Second, "the end of the process", func() (bool, string) {
		out := k.c.runtime(t, "ps", k.id)
		return !strings.Contains(out, "sleep"), out
	})
}

// TestContainerdConfiguration has containerd read the configuration that install
// wrote.
func TestContainerdConfiguration(t *testing.T) {
	t.Parallel()
	harness.NeedProgram(t, "containerd")
	w := newWorld(t)
	w.install(t, "containerd", "--interval", "500ms")
	file := filepath.Join(w.dir, "etc", "containerd", "config.toml")
	r := w.try(t, "", "containerd", "-c", file, "config", "dump")
	want(t, r.Stdout, `[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runsc-recover.options]`)
	want(t, r.Stdout, filepath.Join(w.dir, "etc", "runsc-recover", "containerd-runsc-recover"))
}
