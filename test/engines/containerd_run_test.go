package engines

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// onTerminal runs a command line of ctr, quoted for a shell, on a terminal and
// returns its output.
func (c *containerd) onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	line := strings.Join(slices.Concat([]string{"ctr", "-a", c.socket}, args), " ")
	return c.world.try(t, "", "script", "-qec", line, "/dev/null").Stdout
}

// testContainerdOptions are ctr's flags of run, and their effects in a container.
func testContainerdOptions(t *testing.T, c *containerd) {
	for _, o := range []option{
		{"read-only", []string{"--read-only", "--mount", "type=tmpfs,src=tmpfs,dst=/tmp"}, "touch /x 2>&1; touch /tmp/x && echo ok", "Read-only file system\nok"},
		{"environment and directory", []string{"--env", "A=b", "--cwd", "/tmp"}, "echo $A; pwd", "b\n/tmp"},
		{"limits", []string{"--memory-limit", "67108864", "--cpus", "0.5"}, "grep MemTotal /proc/meminfo", " 65536 kB"},
		{"dropped capability", []string{"--cap-drop", "CAP_KILL"}, "grep CapEff /proc/self/status", "00000000a80425db"},
		{"seccomp", []string{"--seccomp"}, "grep Seccomp: /proc/self/status", "2"},
		{"volume", []string{"--mount", "type=bind,src=" + c.world.dir + ",dst=/tmp,options=rbind:ro"}, "ls /tmp/config.toml", "/tmp/config.toml"},
		{"host's network", []string{"--net-host"}, "ip address", "127.0.0.1"},
	} {
		t.Run(o.name, func(t *testing.T) {
			r := c.try(t, slices.Concat([]string{"run", "--rm"}, o.flags, c.runFlags(), []string{c.rootfs, "option", "/bin/sh", "-c", o.command})...)
			if r.Code != 0 {
				t.Fatalf("%v", r)
			}
			want(t, r.Stdout, o.want)
		})
	}
}

// testContainerdOOM lets the kernel kill a container for want of memory, which
// is an event of its own.
func testContainerdOOM(t *testing.T, c *containerd) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := filepath.Join(c.world.dir, "events")
	out, err := os.Create(log)
	must(t, err)
	defer out.Close()
	events := c.world.command(ctx, "ctr", "-a", c.socket, "events")
	events.Stdout = out
	must(t, events.Start())
	defer func() { cancel(); _ = events.Wait() }()
	r := c.try(t, slices.Concat([]string{"run", "--rm", "--memory-limit", "67108864", "--annotation", "dev.runsc-recover.enabled=false"},
		c.runFlags(), []string{c.rootfs, "eats", "/bin/echo-server", "eat"})...)
	if r.Code != 137 {
		t.Errorf("want status 137, got %v", r)
	}
	harness.Until(t, 10*time.Second, "the event", func() (bool, string) {
		b, err := os.ReadFile(log)
		must(t, err)
		return strings.Contains(string(b), "/tasks/oom"), string(b)
	})
}

// testContainerdImages saves a task that was rolled back, and goes on from
// there with another beside it.
func testContainerdImages(t *testing.T, c *containerd) {
	if r := c.try(t, "image", "import", "--snapshotter", "native", archiveImage(t, c.world)); r.Code != 0 {
		t.Fatalf("%v", r)
	}
	newTask := func(id string) *task {
		k := &task{c: c, id: id, log: filepath.Join(c.world.dir, id+".out")}
		t.Cleanup(func() { k.remove(t) })
		return k
	}
	k := newTask("saved")
	c.do(t, "run", "-d", "--snapshotter", "native", "--log-uri", "file://"+k.log, "--runtime", "io.containerd.runc.v2",
		"--runc-binary", c.world.binary, "--cgroup", "/"+c.world.cgroup, imageName, k.id, "/bin/echo-server")
	k.says(t, "ready", 1)
	k.rollBack(t, 1)
	c.do(t, "container", "checkpoint", "--rw", "--image", "--task", k.id, "checkpointed:latest")
	k.c.do(t, "task", "kill", "-s", "HUP", k.id)
	k.says(t, "hup", 1)
	next := newTask("next")
	c.do(t, "container", "restore", "--rw", "--live", next.id, "checkpointed:latest")
	restored := next.state(t)
	want(t, restored, "RUNNING")
	c.runtime(t, "checkpoint", "--into-store", next.id)
	c.runtime(t, "fail", next.id)
	want(t, next.exec(t, "", next.id, "/bin/ps"), "echo-server")
	if now := next.state(t); now != restored {
		t.Errorf("the task was %q and is %q", restored, now)
	}
}
