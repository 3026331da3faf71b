package runc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runc "github.com/containerd/go-runc"

	"runsc-recover/test/harness"
)

// TestErrors checks the parts of an error that callers match on: the exit status,
// the text, which go to standard error, and the last line of the log.
func TestErrors(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	rt := c.Runtime
	created, running, stopped := c.create(c.Shell(serve)), c.start(c.Shell(serve)), c.start(c.Shell("exit 0"))
	paused := c.start(c.Shell(serve))
	c.must(c.Runc.Pause(c.ctx, paused.id))
	stopped.reaches("stopped")
	for _, tc := range []struct {
		args   string
		status int
		want   string // "" for success
	}{
		{"state none", 1, "container does not exist"},
		{"start none", 1, "container does not exist"},
		{"kill none 9", 1, "container does not exist"},
		{"delete none", 1, "container does not exist"},
		{"delete --force none", 0, ""},
		{"ps none", 1, "container does not exist"},
		{"exec none true", 255, "container does not exist"},
		{"kill " + stopped.id + " 9", 1, "container not running"},
		{"kill " + stopped.id + " 0", 1, "container not running"},
		{"kill --all " + stopped.id + " 9", 0, ""},
		{"kill " + running.id + " 0", 0, ""},
		{"kill " + running.id + " NOSUCH", 1, "unknown signal"},
		{"start " + running.id, 1, "cannot start an already running container"},
		{"start " + stopped.id, 1, "cannot start a container that has stopped"},
		{"exec " + stopped.id + " true", 255, "cannot exec in a stopped container"},
		{"exec " + paused.id + " true", 255, "cannot exec in a paused container"},
		{"exec " + created.id + " true", 255, "container not running"},
		{"exec " + running.id + " nosuch", 255, "nosuch"},
		{"exec --cgroup .. " + running.id + " true", 255, ".. is not a sub cgroup path"},
		{"exec --cgroup cpu:sub " + running.id + " true", 255, "can't be in the cgroup sub by itself"},
		{"exec --cgroup / " + running.id + " true", 0, ""},
		{"exec --cwd /nosuch " + running.id + " true", 255, "nosuch"},
		{"pause " + stopped.id, 1, "container not running"},
		{"pause " + paused.id, 1, "container paused"},
		{"resume " + running.id, 1, "container not paused"},
		{"delete " + running.id, 1, "is not stopped: running"},
		{"events " + stopped.id, 1, "is not running"},
		{"checkpoint " + stopped.id, 1, "cannot be checkpointed in stopped state"},
		{"restore --image-path /nosuch --bundle " + running.bundle() + " new", 1, "/nosuch"},
		{"create --bundle " + running.bundle() + " " + running.id, 1, "container with given ID already exists"},
		{"create --bundle " + running.bundle() + " a/b", 1, "invalid container ID format"},
		{"create --bundle /nosuch new", 1, "/nosuch"},
		{"nosuch", 1, "unknown command"},
		{"state --nosuch x", 1, "nosuch"},
		{"checkpoint --help", 0, ""},
	} {
		checkRefusal(t, rt, tc.args, tc.status, tc.want)
	}
}

// bundle is the container's bundle directory.
func (ct *container) bundle() string { return ct.state().Bundle }

func checkRefusal(t *testing.T, rt *harness.Runtime, args string, status int, want string) {
	t.Helper()
	log := filepath.Join(rt.Dir, "refusal.log")
	if err := os.RemoveAll(log); err != nil {
		t.Fatal(err)
	}
	r := rt.Try(append([]string{"--log", log, "--log-format", "json"}, strings.Fields(args)...)...)
	if r.Code != status || !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "\n") > 1 {
		t.Errorf("want exit %d and one line with %q, got %v", status, want, r)
	}
	if want == "" {
		return
	}
	b, err := os.ReadFile(log)
	var last struct{ Level, Msg, Time string }
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if err == nil {
		err = json.Unmarshal([]byte(lines[len(lines)-1]), &last)
	}
	// A mistake in the options is found before the log is open.
	if len(b) == 0 && strings.Contains(args, "--nosuch") {
		return
	}
	if err != nil || last.Level != "error" || !strings.Contains(last.Msg, want) || last.Time == "" {
		t.Errorf("%s: want %q at the end of the log, got %q, %v", args, want, b, err)
	}
}

// A command's output is parsed together with its standard error by some.
func TestNothingElseIsPrinted(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	ct := rt.Start(rt.Shell(serve))
	for _, args := range []string{"state " + ct.ID, "list --format json", "ps --format json " + ct.ID, "features", "pause " + ct.ID, "resume " + ct.ID, "kill " + ct.ID + " 0"} {
		if r := rt.Try(strings.Fields(args)...); r.Code != 0 || r.Stderr != "" {
			t.Errorf("%v", r)
		}
	}
}
