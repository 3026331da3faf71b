// Package e2e tests the whole runtime through its command line: real
// sandboxes, real programs, one directory and root a test.
package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	b.Spec.Annotations["org.example.colour"] = "blue"
	c := rt.Create(b.Write())
	s := c.State()
	if s.Status != "created" || s.ID != c.ID || s.Pid != c.Pid || s.Bundle != b.Dir || s.Rootfs != b.Rootfs() || s.Annotations["org.example.colour"] != "blue" {
		t.Errorf("state after create: %+v", s)
	}
	if out := c.Output(); out != "" {
		t.Errorf("the program ran before start: %q", out)
	}
	rt.Do("start", c.ID)
	c.Says("ready", 1)
	if s := c.State(); s.Status != "running" || s.Pid != c.Pid {
		t.Errorf("state after start: %+v", s)
	}
	if list := harness.JSON[[]harness.State](rt, "list", "--format", "json"); len(list) != 1 || list[0].ID != c.ID || list[0].Created.IsZero() {
		t.Errorf("list: %+v", list)
	}
	if pids := harness.JSON[[]int](rt, "ps", "--format", "json", c.ID); !slices.Contains(pids, c.Pid) && len(pids) == 0 {
		t.Errorf("ps: %v", pids)
	}
	rt.Refused(1, "running", "delete", c.ID)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
	if s := c.State(); s.Status != "stopped" {
		t.Errorf("state after the end: %+v", s)
	}
	c.Delete()
	rt.Refused(1, "container does not exist", "state", c.ID)
	rt.CheckLeaks()
}

func TestExitStatusReachesTheParent(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		c := rt.Start(rt.Shell(script).Recover("enabled", "false"))
		c.Exits(want)
		c.Delete()
	}
}

func TestWaitPrintsTheStatus(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell("sleep 1; exit 5"))
	if r := rt.Try("wait", c.ID); r.Code != 5 {
		t.Errorf("while it ran: %v", r)
	}
	c.Exits(5)
	if r := rt.Try("wait", c.ID); r.Code != 5 {
		t.Errorf("after its end: %v", r)
	}
}

func TestRunInTheForeground(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell(`read line; echo "out $line"; echo "err $line" >&2; echo last; exit 3`)
	r := rt.TryInput("hello\n", "run", "--bundle", b.Dir, rt.NewID())
	if r.Code != 3 || r.Stdout != "out hello\nlast\n" || r.Stderr != "err hello\n" {
		t.Errorf("%v", r)
	}
	// As runc does: a container that was run in the foreground is gone.
	if list := harness.JSON[[]harness.State](rt, "list", "--format", "json"); len(list) != 0 {
		t.Errorf("list after run: %+v", list)
	}
}

func TestRunForwardsSignals(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	ctx, cancel := context.WithTimeout(context.Background(), harness.CommandTimeout())
	defer cancel()
	cmd := rt.Command(ctx, "run", "--bundle", b.Dir, rt.NewID())
	out, err := os.Create(filepath.Join(rt.Dir, "run.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	printed := func(text string) func() (bool, string) {
		return func() (bool, string) {
			b, _ := os.ReadFile(out.Name())
			return strings.Contains(string(b), text), string(b)
		}
	}
	harness.Until(t, 30*time.Second, "ready", printed("ready"))
	if err := cmd.Process.Signal(os.Signal(sigterm)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("run: %v", err)
	}
	harness.Until(t, time.Second, "bye", printed("bye"))
}

func TestOutputKeepsItsOrder(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell(`i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done`).Recover("enabled", "false"))
	c.Exits(0)
	lines := strings.Fields(c.Output())
	if len(lines) != 2000 {
		t.Fatalf("%d lines of 2000", len(lines))
	}
	for i, l := range lines {
		if l != strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, l)
		}
	}
}

func TestStartAndKillAtTheWrongTime(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/behave", "serve"}, "behave"))
	c.Says("ready", 1)
	rt.Refused(1, "", "start", c.ID)
	rt.Refused(1, "already exists", "create", "--bundle", c.Bundle.Dir, c.ID)
	rt.Do("kill", c.ID, "0")
	rt.Do("kill", c.ID, "SIGKILL")
	c.Exits(137)
	rt.Refused(1, "container not running", "kill", c.ID, "TERM")
	rt.Refused(1, "container not running", "kill", c.ID, "0")
	rt.Do("kill", "--all", c.ID, "KILL")
	rt.Refused(1, "", "start", c.ID)
	rt.Refused(255, "", "exec", c.ID, "/bin/true")
	c.Delete()
	rt.Do("delete", "--force", c.ID)
	rt.Refused(1, "container does not exist", "kill", c.ID, "TERM")
}

func TestKillAndDeleteOfACreatedContainer(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Create(rt.Bundle([]string{"/bin/behave", "serve"}, "behave"))
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
	c.Delete()
	c = rt.Create(rt.Bundle([]string{"/bin/behave", "serve"}, "behave"))
	c.Delete("--force")
	rt.CheckLeaks()
}

// Commands that run at the same time leave the container in one state: of all
// the starts one works, and of all the creates with one id one does.
func TestCommandsAtTheSameTime(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	atOnce := func(args ...string) (worked int) {
		const n = 4
		codes := make(chan int, n)
		for range n {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), harness.CommandTimeout())
				defer cancel()
				cmd := rt.Command(ctx, args...)
				_ = cmd.Run() // the code says it
				codes <- cmd.ProcessState.ExitCode()
			}()
		}
		for range n {
			if <-codes == 0 {
				worked++
			}
		}
		return worked
	}
	id := rt.NewID()
	if n := atOnce("create", "--bundle", b.Dir, id); n != 1 {
		t.Errorf("%d of the creates worked", n)
	}
	if n := atOnce("start", id); n != 1 {
		t.Errorf("%d of the starts worked", n)
	}
	if n := atOnce("delete", "--force", id); n != 4 {
		t.Errorf("%d of the forced deletes were quiet", n)
	}
	rt.CheckLeaks()
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell(`while :; do echo tick; sleep 0.05; done`).Recover("interval", "50ms"))
	c.Says("tick", 2)
	rt.Do("pause", c.ID)
	if s := c.State().Status; s != "paused" {
		t.Errorf("status %s", s)
	}
	rt.Refused(1, "", "pause", c.ID)
	before := strings.Count(c.Output(), "tick")
	// Checkpoints that come due meanwhile must not wake it.
	harness.Until(t, 5*time.Second, "half a second", elapsed(500*time.Millisecond))
	if after := strings.Count(c.Output(), "tick"); after > before {
		t.Errorf("it ticked %d times while paused", after-before)
	}
	rt.Do("resume", c.ID)
	c.Says("tick", before+3)
	rt.Refused(1, "", "resume", c.ID)
	rt.Do("pause", c.ID)
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}

// elapsed is a condition that comes true after d.
func elapsed(d time.Duration) func() (bool, string) {
	end := time.Now().Add(d)
	return func() (bool, string) { return time.Now().After(end), "" }
}

func TestExec(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell(`echo up; sleep 1000`).Recover("interval", "1h"))
	c.Says("up", 1)
	if r := rt.TryInput("hi\n", "exec", c.ID, "/bin/cat"); r.Code != 0 || r.Stdout != "hi\n" {
		t.Errorf("%v", r)
	}
	if r := rt.Try("exec", c.ID, "/bin/sh", "-c", "echo to stderr >&2; exit 9"); r.Code != 9 || r.Stderr != "to stderr\n" {
		t.Errorf("%v", r)
	}
	if r := rt.Try("exec", "--cwd", "/tmp", "--env", "A=b", "--user", "5:6", c.ID, "/bin/sh", "-c", "pwd; echo $A; id -u; id -g"); r.Stdout != "/tmp\nb\n5\n6\n" {
		t.Errorf("%v", r)
	}
	rt.Refused(255, "", "exec", c.ID, "/no/such/program")
	process := filepath.Join(rt.Dir, "process.json")
	text, _ := json.Marshal(specs.Process{Args: []string{"/bin/sh", "-c", "exit 4"}, Cwd: "/"})
	if err := os.WriteFile(process, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := rt.Try("exec", "--process", process, c.ID); r.Code != 4 {
		t.Errorf("%v", r)
	}
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}

// A program's pid in the pid file, detached, is a process whose status is the
// program's; it isn't held by the container's end.
func TestExecDetached(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell(`echo up; sleep 1000`).Recover("interval", "1h"))
	c.Says("up", 1)
	pidFile := filepath.Join(rt.Dir, "exec.pid")
	rt.Do("exec", "--detach", "--pid-file", pidFile, c.ID, "/bin/sh", "-c", "sleep 0.2; exit 6")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if got := waitFor(t, pid); got != 6 {
		t.Errorf("the detached program ended with %d, want 6", got)
	}
}

func TestHooksRunOnce(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "report"}, "behave")
	record := filepath.Join(rt.Dir, "hooks.out")
	hook := func(name string) []specs.Hook {
		script := `read -r state; echo "` + name + ` $(echo "$state" | tr -d " \n" | grep -o '"status":"[a-z]*"')" >>` + record
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}
	}
	b.Spec.Hooks = &specs.Hooks{
		Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"),
		Poststart: hook("poststart"), Poststop: hook("poststop"),
	}
	c := rt.Start(b.Write())
	c.Exits(0)
	c.Says("recovered", 1)
	c.Delete()
	got, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(got)) {
		names = append(names, strings.Fields(line)[0])
	}
	if want := []string{"prestart", "createRuntime", "poststart", "poststop"}; !slices.Equal(names, want) {
		t.Errorf("hooks ran as\n%swant %v", got, want)
	}
}

func TestAFailingHookFailsCreate(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/behave", "serve"}, "behave")
	b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo no luck >&2; exit 1"}}}}
	rt.Refused(1, "no luck", "create", "--bundle", b.Write().Dir, rt.NewID())
	rt.CheckLeaks()
}

// Engines name their directories by way of /var/run, which is a link.
func TestARootBehindALink(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	must(t, os.Mkdir(rt.Root, 0o700))
	link := filepath.Join(rt.Dir, "link")
	must(t, os.Symlink(rt.Root, link))
	rt.Root = link
	c := rt.Start(rt.Bundle([]string{"/bin/behave", "serve"}, "behave"))
	c.Says("ready", 1)
	must(t, unix.Kill(c.Pid, unix.SIGKILL))
	c.Exits(137)
	c.Delete("--force")
	rt.CheckLeaks()
}

func TestCommandsWithoutAContainer(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	if out := rt.Do("--version"); !strings.Contains(out, "runsc-recover version") || !strings.Contains(out, "gvisor:") || !strings.Contains(out, "spec:") {
		t.Errorf("--version: %q", out)
	}
	for _, command := range []string{"create", "start", "run", "state", "kill", "delete", "list", "ps", "exec", "pause", "resume", "checkpoint",
		"restore", "events", "update", "spec", "features", "checkpoints list", "checkpoints inspect", "checkpoints verify",
		"checkpoints remove", "episodes list", "episodes show", "fail", "wait"} {
		if out := rt.Do(append(strings.Fields(command), "--help")...); !strings.Contains(out, "EXAMPLE") {
			t.Errorf("%s --help shows no example", command)
		}
	}
	dir := filepath.Join(rt.Dir, "spec")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rt.Do("spec", "--bundle", dir)
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		t.Error(err)
	}
	if f := harness.JSON[map[string]any](rt, "features"); f["ociVersionMin"] == nil {
		t.Errorf("features: %v", f)
	}
	if _, err := exec.Command(rt.Binary, "--root", rt.Root, "nonsense").Output(); err == nil {
		t.Error("an unknown command was accepted")
	}
}
