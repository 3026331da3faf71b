package runc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// readies is a program that says at the beginning, and in each copy, that it is
// ready, between two words that are none of the manager's business. A copy finds
// that nobody listens any more, as with runc.
const readies = `
import os, signal, socket, time
def say(*_):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for word in b"STATUS=busy\nMAINPID=1\n", b"READY=1\nMAINPID=1\n", b"STOPPING=1\n":
        try:
            s.sendto(word, os.environ["NOTIFY_SOCKET"])
        except OSError:
            pass
    print("said", flush=True)
signal.signal(42, say)
time.sleep(0.3)
say()
while True:
    time.sleep(0.05)
`

// manager is a service manager's socket.
type manager struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

func newManager(t *testing.T, rt *harness.Runtime) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(rt.Dir, "manager.sock")}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// hears returns the messages so far.
func (m *manager) hears() (all []string) {
	m.t.Helper()
	buf := make([]byte, 1024)
	for {
		if err := m.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			m.t.Fatal(err)
		}
		n, err := m.conn.Read(buf)
		if err != nil {
			return all
		}
		all = append(all, string(buf[:n]))
	}
}

// runs runs a command of the runtime as the manager's service.
func (m *manager) runs(rt *harness.Runtime, out string, args ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.CommandTimeout())
	defer cancel()
	f, err := os.OpenFile(filepath.Join(rt.Dir, out), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	cmd := rt.Command(ctx, args...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.path, "LISTEN_FDS=1")
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
}

// The manager hears of the program's readiness once, whatever else that says
// and however often, and commands return then.
func TestReadiness(t *testing.T) {
	t.Parallel()
	harness.NeedProgram(t, "python3")
	for name, commands := range map[string][][]string{
		"run":              {{"run", "--detach"}},
		"create and start": {{"create"}, {"start"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := harness.New(t)
			m := newManager(t, rt)
			b, id := rt.Host("/usr/bin/python3", "-c", readies), rt.NewID()
			for _, c := range commands {
				if c[0] != "start" {
					c = append(c, "--bundle", b.Dir)
				}
				m.runs(rt, "service.out", append(c, id)...)
			}
			pid := harness.JSON[harness.State](rt, "state", id).Pid
			if got := m.hears(); len(got) != 1 || got[0] != fmt.Sprintf("READY=1\nMAINPID=%d\n", pid) {
				t.Errorf("the manager hears %q, the pid is %d", got, pid)
			}
			rt.Do("checkpoint", "--into-store", id)
			rt.Do("fail", id)
			harness.Until(t, 30*time.Second, "the copy's word", func() (bool, string) {
				out, err := os.ReadFile(filepath.Join(rt.Dir, "service.out"))
				return err == nil && strings.Count(string(out), "said") == 2, string(out)
			})
			if got := m.hears(); len(got) != 0 {
				t.Errorf("after a rollback it hears %q", got)
			}
			rt.Do("delete", "--force", id)
		})
	}
}

// A command doesn't wait for a program that is over, and its status is the
// program's.
func TestReadinessOfNone(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	m := newManager(t, rt)
	id := rt.NewID()
	m.runs(rt, "service.out", "run", "--detach", "--bundle", rt.Shell("exit 3").Dir, id)
	rt.Do("delete", id)
	if got := m.hears(); len(got) != 0 {
		t.Errorf("the manager hears %q", got)
	}
	out, err := os.ReadFile(filepath.Join(rt.Dir, "service.out"))
	if err != nil || !strings.Contains(string(out), "LISTEN_FDS aren't handed down") {
		t.Errorf("it says %q, %v", out, err)
	}
}
