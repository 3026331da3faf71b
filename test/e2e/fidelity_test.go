package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

func TestTheSystemCallsContract(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/abi"}, "abi").Recover("interval", "24h"))
	c.Exits(0)
	for line := range strings.Lines(c.Output()) {
		if strings.HasPrefix(line, "not ok") {
			t.Error(line)
		}
	}
}

// Every kind of state in one process that holds them all.
func TestFidelity(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/fidelity", "-n", "3"}, "fidelity").Recover("interval", "24h"))
	c.Exits(0)
	c.Says("all as at the checkpoint", 1)
}

// The same with checkpoints taken all the time, as they come in a container
// that knows nothing of them.
func TestFidelityUnderIntervalCheckpoints(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/fidelity", "-d", "-n", "200"}, "fidelity").
		Recover("interval", "50ms").Recover("max-overhead", "50%"))
	c.Exits(0)
	c.Says("all as at the checkpoint", 1)
}

func TestGoroutines(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/goroutines"}, "goroutines").Recover("interval", "24h"))
	c.Exits(0)
	c.Says("all as at the checkpoint", 1)
}

func TestPythonThreads(t *testing.T) {
	t.Parallel()
	python(t, "threads.py")
}

func TestPythonProcesses(t *testing.T) {
	t.Parallel()
	python(t, "processes.py")
}

func python(t *testing.T, script string) {
	harness.NeedProgram(t, "/usr/bin/python3")
	rt := harness.New(t)
	b := rt.Host("/usr/bin/python3", "/python/"+script).Recover("interval", "24h")
	c := rt.Start(b.Mount(rt.Guest("python"), "/python", "ro"))
	c.Exits(0)
	c.Says("all as at the checkpoint", 1)
}

// A web server with workers: the same processes serve before and after.
func TestNginx(t *testing.T) {
	t.Parallel()
	harness.NeedProgram(t, "/usr/sbin/nginx")
	rt := harness.New(t)
	b := rt.Host("/usr/sbin/nginx", "-c", "/nginx.conf", "-e", "/tmp/error.log")
	config := `daemon off; worker_processes 3; user root; pid /tmp/pid;
events {}
http {
	access_log off;
	client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
	server { listen 80; location / { return 200 "$pid\n"; } }
}
`
	if err := os.WriteFile(b.Rootfs("nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	c := rt.Start(b.Recover("interval", "24h").Recover("grace", "100ms"))
	ask := func() (bool, string) {
		r := rt.Try("exec", c.ID, "/usr/bin/curl", "-s", "-m", "5", "http://127.0.0.1/")
		return r.Code == 0 && r.Stdout != "", r.String()
	}
	harness.Until(t, 20*time.Second, "an answer", ask)
	processes := func() string { return rt.Do("exec", c.ID, "/bin/ps", "-C", "nginx", "-o", "pid,ppid") }
	before := processes()
	for i := range 3 {
		rt.Do("checkpoint", "--into-store", c.ID)
		rt.Do("fail", "--code", fmt.Sprint(i), c.ID)
		c.Recovered(i + 1)
		harness.Until(t, 10*time.Second, "an answer after a rollback", ask)
		if after := processes(); after != before {
			t.Errorf("processes before\n%s\nand after rollback %d\n%s", before, i+1, after)
		}
	}
	rt.Do("kill", c.ID, "QUIT")
	c.Exits(0)
}

// A database that knows nothing of us, brought down by its own command.
func TestRedis(t *testing.T) {
	t.Parallel()
	harness.NeedProgram(t, "/usr/bin/redis-server")
	rt := harness.New(t)
	c := rt.Start(rt.Host("/usr/bin/redis-server", "--port", "6379", "--save", "", "--dir", "/tmp", "--enable-debug-command", "yes").
		Recover("interval", "24h").Recover("grace", "200ms"))
	redis := func(args ...string) string {
		r := rt.Try(append([]string{"exec", c.ID, "/usr/bin/redis-cli"}, args...)...)
		return strings.TrimSpace(r.Stdout)
	}
	harness.Until(t, 20*time.Second, "redis", func() (bool, string) {
		pong := redis("ping")
		return pong == "PONG", pong
	})
	redis("DEBUG", "POPULATE", "20000", "key", "100")
	redis("SET", "who", "before the checkpoint")
	digest := redis("DEBUG", "DIGEST")
	rt.Do("checkpoint", "--into-store", c.ID)
	redis("SET", "who", "after the checkpoint")
	for i := range 3 {
		redis("DEBUG", "SEGFAULT")
		if s := c.State(); s.Pid != c.Pid || s.Status != "running" {
			t.Errorf("state %+v", s)
		}
		if got := redis("DEBUG", "DIGEST"); got != digest {
			t.Errorf("after crash %d the data's digest is %s, was %s", i+1, got, digest)
		}
		if got := redis("GET", "who"); got != "before the checkpoint" {
			t.Errorf("after crash %d: %q", i+1, got)
		}
		c.Recovered(i + 1)
	}
	if got := redis("DBSIZE"); got != "20001" {
		t.Errorf("DBSIZE %s", got)
	}
	e := c.Episodes()[0]
	if e.Kind != "signal" || e.Signal != 11 {
		t.Errorf("episode %+v", e)
	}
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// Output goes where it went, after a rollback too.
func TestStdoutOutlivesARollback(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell(`n=0; while :; do n=$((n+1)); echo "line $n"; sleep 0.05; done`).Recover("interval", "200ms"))
	c.HasCheckpoints(2)
	rt.Do("fail", c.ID)
	c.Says("line ", strings.Count(c.Output(), "line ")+5)
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}
