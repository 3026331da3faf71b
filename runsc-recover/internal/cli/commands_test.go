package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/runsc-recover/internal/container"
)

// TestCommands drives command lines against a container in each status: the
// request to the supervisor, the exit status and the output.
func TestCommands(t *testing.T) {
	const running, created, paused, stopped = statedir.StatusRunning, statedir.StatusCreated, statedir.StatusPaused, statedir.StatusStopped
	for _, c := range []struct {
		status statedir.Status
		line   string
		asked  string // "" for nothing
		exit   int
		says   string // on standard error
	}{
		{running, "kill web", "signal 15 false", 0, ""},
		{running, "kill --all web USR1", "signal 10 true", 0, ""},
		{running, "kill web KILL -a", "signal 9 true", 0, ""},
		{running, "kill web 0", "", 0, ""},
		{running, "kill web BOGUS", "", 1, `unknown signal \"BOGUS\"`},
		{running, "kill web 9 9", "", 1, "requires a maximum of 2 argument(s)"},
		{running, "kill", "", 1, "requires a minimum of 1 argument(s)"},
		{stopped, "kill web KILL", "", 1, "container not running"},
		{stopped, "kill web 0", "", 1, "container not running"},
		{stopped, "kill --all web KILL", "", 0, ""},
		{running, "kill nobody", "", 1, "container does not exist"},
		{running, "kill ../x", "", 1, "invalid container ID format"},
		{created, "start web", "start", 0, ""},
		{running, "start web", "", 1, "cannot start an already running container"},
		{paused, "start web", "", 1, "cannot start a container in the paused state"},
		{stopped, "start web", "", 1, "cannot start a container that has stopped"},
		{running, "pause web", "pause", 0, ""},
		{stopped, "pause web", "", 1, "container not running"},
		{paused, "resume web", "resume", 0, ""},
		{running, "fail --code 3 --message oops web", `fail 3 "oops"`, 0, ""},
		{running, "fail --code 3000000000 web", "", 1, "doesn't fit 32 bits"},
		{stopped, "fail web", "", 1, "container not running"},
		{running, "update --memory 5k --pids-limit 6 web", "update 5120 6", 0, ""},
		{running, "update web --memory 5k --pids-limit 6", "update 5120 6", 0, ""},
		{running, "checkpoint --into-store web", "checkpoint", 0, ""},
		{running, "checkpoint --into-store --image-path x web", "", 1, "exclude each other"},
		{running, "checkpoint --pre-dump web", "", 1, "--pre-dump is not supported"},
		{created, "checkpoint --into-store web", "", 1, "cannot be checkpointed in created state"},
		{stopped, "checkpoint web", "", 1, "cannot be checkpointed in stopped state"},
		{running, "checkpoints verify web 3", "verify 3", 0, ""},
		{running, "checkpoints remove web 3", "remove 3", 0, ""},
		{running, "checkpoints verify web x", "", 1, "not a number"},
		{running, "checkpoints verify web 0", "", 1, "not a number"},
		{running, "checkpoints inspect web 3", "checkpoints", 1, "no such checkpoint"},
		{stopped, "checkpoints list web", "", 1, "container not running"},
		{running, "wait web", "wait", 42, ""},
		{running, "events --stats web", "stats", 0, ""},
		{running, "events --interval 0s web", "", 1, "duration interval must be greater than 0"},
		{stopped, "events web", "", 1, "container with id web is not running"},
		{running, "ps web", "processes", 0, ""},
		{stopped, "ps web", "", 0, ""},
		{running, "ps --format xml web", "", 1, "invalid format option"},
		{running, "list --format xml", "", 1, "invalid format option"},
		{running, "delete web", "", 1, "cannot delete container web that is not stopped: running"},
		{paused, "delete web", "", 1, "cannot delete container web that is not stopped: paused"},
		{running, "delete nobody", "", 1, "container does not exist"},
		{running, "delete --force nobody", "", 0, ""},
		{stopped, "exec web id", "", 255, "exec failed: cannot exec in a stopped container"},
		{paused, "exec web id", "", 255, "cannot exec in a paused container"},
		{running, "exec web", "", 255, "process args cannot be empty"},
		{running, "exec nobody id", "", 255, "container does not exist"},
		{running, "state nobody", "", 1, "container does not exist"},
		{running, "state", "", 1, "requires exactly 1 argument(s)"},
		{running, "bogus web", "", 1, "unknown command"},
		{running, "state --bogus web", "", 1, "flag provided but not defined: -bogus"},
		{running, "create --bundle /does/not/exist other", "", 1, "is not a directory"},
		{running, "create --bundle /does/not/exist ..", "", 1, "invalid container ID format"},
		{running, "create --preserve-fds=-1 other", "", 1, "--preserve-fds"},
		{running, "restore --image-path /does/not/exist other", "", 1, "image /does/not/exist is not a directory"},
		{running, "episodes list web 1", "", 1, "no episode 1"},
		{running, "completion fish", "", 1, "unknown shell"},
		{running, "checkpoint --help", "", 0, ""},
	} {
		t.Run(string(c.status)+" "+c.line, func(t *testing.T) {
			root := t.TempDir()
			s := &service{exit: api.ExitStatus{Status: 42}}
			makeContainer(t, root, "web", c.status, s)
			got := command(t, root, strings.Fields(c.line)...)
			if got.status != c.exit || !strings.Contains(got.errout, c.says) || c.says == "" && got.errout != "" {
				t.Errorf("%+v, want status %d and %q", got, c.exit, c.says)
			}
			if asked := strings.Join(s.asked, ", "); asked != c.asked {
				t.Errorf("supervisor was asked %q, want %q", asked, c.asked)
			}
		})
	}
}

// TestDeadSupervisor is about containers whose supervisor was killed.
func TestDeadSupervisor(t *testing.T) {
	root := t.TempDir()
	state := makeContainer(t, root, "web", statedir.StatusRunning, nil)
	state.Supervisor.StartTime++
	dir := statedir.ContainerDir(root, "web")
	if err := state.Save(dir); err != nil {
		t.Fatal(err)
	}
	var view show.State
	if err := json.Unmarshal([]byte(command(t, root, "state", "web").out), &view); err != nil || view.Status != statedir.StatusStopped || view.Pid != 0 {
		t.Errorf("state %+v, %v", view, err)
	}
	if got := command(t, root, "ps", "--format", "json", "web"); got.out != "null\n" {
		t.Errorf("ps: %+v", got)
	}
	if got := command(t, root, "wait", "web"); got.status != container.StatusUnknown {
		t.Errorf("wait: %+v", got)
	}
	if got := command(t, root, "delete", "web"); got.status != 0 || got.errout != "" {
		t.Errorf("delete: %+v", got)
	}
	if _, err := os.Stat(string(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state directory after delete: %v", err)
	}
}

// TestSupervisorDiesMeanwhile is about one that is gone by the time it is
// asked.
func TestSupervisorDiesMeanwhile(t *testing.T) {
	root := t.TempDir()
	makeContainer(t, root, "web", statedir.StatusRunning, nil)
	for line, exit := range map[string]int{"kill web": 1, "kill -a web": 0, "pause web": 1, "checkpoints list web": 1} {
		got := command(t, root, strings.Fields(line)...)
		if got.status != exit || exit == 1 && !strings.Contains(got.errout, "container not running") {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestDeleteHalfCreated(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		args []string
		exit int
	}{{[]string{"delete", "--force", "web"}, 0}, {[]string{"delete", "web"}, 1}} {
		dir, lock, err := statedir.MakeDir(root, "web")
		if err != nil {
			t.Fatal(err)
		}
		lock.Unlock()
		if got := command(t, root, c.args...); got.status != c.exit {
			t.Errorf("%q: %+v", c.args, got)
		}
		if _, err := os.Stat(string(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: state directory: %v", c.args, err)
		}
	}
}

func TestWaitAfterTheEnd(t *testing.T) {
	root := t.TempDir()
	state := makeContainer(t, root, "web", statedir.StatusStopped, nil)
	state.Exit = &statedir.Exit{Status: 139}
	if err := state.Save(statedir.ContainerDir(root, "web")); err != nil {
		t.Fatal(err)
	}
	if got := command(t, root, "wait", "--format", "json", "web"); got.status != 139 || !strings.Contains(got.out, `"status":139`) {
		t.Errorf("%+v", got)
	}
}

func TestLogFormats(t *testing.T) {
	root, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	if got := commandWith(t, "", "--root", root, "--log", log, "--log-format", "json", "state", "web"); got.errout != "container does not exist\n" {
		t.Errorf("standard error: %q", got.errout)
	}
	if got := commandWith(t, "", "--root", root, "--log", log, "state", "web"); got.status != 1 {
		t.Errorf("%+v", got)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(string(b), "\n")
	var line struct{ Level, Msg, Time, Code string }
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Level != "error" || line.Msg != "container does not exist" || line.Code != "container-not-found" || line.Time == "" {
		t.Errorf("JSON line %q: %v", first, err)
	}
	if !strings.Contains(second, `level=error msg="container does not exist" code=container-not-found`) {
		t.Errorf("text line %q", second)
	}
	for _, args := range [][]string{{"--log-format", "xml"}, {"--log", "/does/not/exist/log"}, {"--rootless", "maybe"}, {"--network", "moon"}, {"--recover-bogus", "1"}} {
		if got := commandWith(t, "", append(append([]string{"--root", root}, args...), "list")...); got.status != 1 || got.errout == "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		print  bool
	}{
		{nil, 0, false},
		{errors.New("x"), 1, true},
		{exitStatus(7), 7, false},
		{&failedWith{status: 255, err: errdefs.ErrNotExist}, 255, true},
		{context.Canceled, 1, true},
	} {
		if status, print := statusOf(c.err); status != c.status || print != c.print {
			t.Errorf("%v: %d, %t", c.err, status, print)
		}
	}
}
