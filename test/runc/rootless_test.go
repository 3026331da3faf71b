package runc

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// ordinary is a user of the host without any privileges.
const ordinary = 54321

// ordinaryUser is the runtime in the hands of such a user.
type ordinaryUser struct {
	*harness.Runtime
	t      *testing.T
	binary string
	bundle *harness.Bundle
}

func newOrdinaryUser(t *testing.T, script string) *ordinaryUser {
	t.Helper()
	u := &ordinaryUser{Runtime: harness.New(t), t: t}
	u.binary = filepath.Join(u.Dir, "runsc-recover")
	b, err := os.ReadFile(u.Binary)
	if err == nil {
		harness.WriteProgram(t, u.binary, b)
	}
	u.bundle = u.Shell(script)
	if err == nil {
		err = errors.Join(os.Mkdir(u.Root, 0o700), chownAll(u.Dir))
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// chownAll gives a directory and all in it to the ordinary user.
func chownAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, ordinary, ordinary))
	})
}

// run runs a command as that user.
func (u *ordinaryUser) run(args ...string) harness.Result {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.CommandTimeout())
	defer cancel()
	cmd := exec.CommandContext(ctx, u.binary, append([]string{"--root", u.Root}, args...)...)
	cmd.Dir, cmd.Env = u.Dir, []string{"PATH=/usr/bin:/bin", "RUNSC_RECOVER_TEST=" + u.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		u.t.Fatalf("%s: %v", args, err)
	}
	return harness.Result{Args: args, Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

func (u *ordinaryUser) do(args ...string) string {
	u.t.Helper()
	r := u.run(args...)
	if r.Code != 0 {
		u.t.Fatalf("%v", r)
	}
	return r.Stdout
}

// An ordinary user can run containers, and have them rolled back.
func TestRootless(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"none", "host"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			u := newOrdinaryUser(t, serve)
			if r := u.run("--network", network, "run", "--bundle", u.failing(), u.NewID()); r.Code != 7 || !strings.Contains(r.Stdout, "uid=0") {
				t.Errorf("run in the foreground: %v", r)
			}
			id := u.NewID()
			u.do("--network", network, "run", "--detach", "--bundle", u.bundle.Dir, id)
			u.do("checkpoint", "--into-store", id)
			u.do("fail", id)
			if out := u.do("exec", id, "echo", "in"); out != "in\n" {
				t.Errorf("exec: %q", out)
			}
			if out := u.do("episodes", "list", id); !strings.Contains(out, "operator") {
				t.Errorf("episodes: %q", out)
			}
			if out := u.do("list"); !strings.Contains(out, "#54321") {
				t.Errorf("list: %q", out)
			}
			u.do("pause", id)
			u.do("resume", id)
			u.do("kill", id, "KILL")
			harness.Until(t, 10*time.Second, "end", func() (bool, string) {
				out := u.do("state", id)
				return strings.Contains(out, `"stopped"`), out
			})
			u.do("delete", id)
			u.CheckLeaks()
		})
	}
}

// failing is a bundle of the user's whose program ends with 7.
func (u *ordinaryUser) failing() string {
	u.t.Helper()
	b := u.Shell("id; exit 7")
	if err := chownAll(b.Dir); err != nil {
		u.t.Fatal(err)
	}
	return b.Dir
}

// An option that needs privileges is refused, with the reason.
func TestRootlessRefusals(t *testing.T) {
	t.Parallel()
	u := newOrdinaryUser(t, serve)
	for want, args := range map[string][]string{
		"gVisor can't attach its network stack":  {"run", "--bundle", u.bundle.Dir, u.NewID()},
		"there are no cgroups without privilege": {"--systemd-cgroup", "--network", "none", "run", "--bundle", u.bundle.Dir, u.NewID()},
	} {
		if r := u.run(args...); r.Code != 1 || !strings.Contains(r.Stderr, want) {
			t.Errorf("want %q: %v", want, r)
		}
		u.CheckLeaks()
	}
	id := u.NewID()
	u.do("--network", "none", "run", "--detach", "--bundle", u.bundle.Dir, id)
	for _, args := range [][]string{{"update", "--memory", "100m", id}, {"events", "--stats", id}} {
		if r := u.run(args...); r.Code != 1 || !strings.Contains(r.Stderr, "container has no cgroup") {
			t.Errorf("%v", r)
		}
	}
	u.do("delete", "--force", id)
}
