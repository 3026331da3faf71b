package engines

import (
	"bufio"
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

// verb is something that an engine does with a container that runs, and that
// leaves it running. It must work as well on one that was rolled back.
type verb struct {
	name string
	do   func(t *testing.T, c *container)
}

// verbs are those that docker and podman have in common.
var verbs = []verb{
	{"exec", execVerb},
	{"exec with stdin", func(t *testing.T, c *container) {
		want(t, c.e.doWith(t, "over\n", "exec", "-i", c.name, "cat"), "over")
	}},
	{"exec with a terminal", func(t *testing.T, c *container) {
		want(t, c.e.do(t, "exec", "-t", c.name, "sh", "-c", "test -t 1 && echo terminal"), "terminal")
	}},
	{"exec detached", func(t *testing.T, c *container) {
		c.e.do(t, "exec", "-d", c.name, "touch", "/tmp/detached")
		harness.Until(t, 10*time.Second, "the file", func() (bool, string) {
			r := c.e.try(t, "exec", c.name, "ls", "/tmp/detached")
			return r.Code == 0, r.String()
		})
	}},
	{"exec status", func(t *testing.T, c *container) {
		if r := c.e.try(t, "exec", c.name, "sh", "-c", "exit 3"); r.Code != 3 {
			t.Errorf("want status 3, got %v", r)
		}
		if r := c.e.try(t, "exec", c.name, "/nosuch"); r.Code != 126 && r.Code != 127 {
			t.Errorf("want status 126 or 127, got %v", r)
		}
	}},
	{"logs", func(t *testing.T, c *container) { want(t, c.do(t, "logs"), "ready") }},
	{"top", func(t *testing.T, c *container) { want(t, c.do(t, "top"), "PID") }},
	{"stats", func(t *testing.T, c *container) { want(t, c.do(t, "stats", "--no-stream"), "%") }},
	{"pause", pauseVerb},
	{"signal", func(t *testing.T, c *container) {
		times := strings.Count(c.do(t, "logs"), "hup")
		c.do(t, "kill", "-s", "HUP")
		c.says(t, "hup", times+1)
	}},
	{"address", func(t *testing.T, c *container) {
		now := c.inspect(t)
		answers(t, c.e.world, "tcp4", net.JoinHostPort(now.NetworkSettings.IPAddress, "7000"))
	}},
	{"published port", func(t *testing.T, c *container) {
		answers(t, c.e.world, "tcp4", net.JoinHostPort(c.e.bridge, "7001"))
	}},
	{"update", updateVerb},
	{"volume", func(t *testing.T, c *container) {
		c.exec(t, "sh", "-c", "echo seen > /shared/file")
		b, err := os.ReadFile(filepath.Join(c.e.world.dir, "shared", "file"))
		must(t, err)
		want(t, string(b), "seen")
	}},
}

// dockerVerbs are those that need docker.
var dockerVerbs = []verb{
	{"address with IPv6", func(t *testing.T, c *container) {
		now := c.inspect(t)
		answers(t, c.e.world, "tcp6", net.JoinHostPort(now.NetworkSettings.GlobalIPv6Address, "7000"))
	}},
	{"published port with IPv6", func(t *testing.T, c *container) {
		answers(t, c.e.world, "tcp6", net.JoinHostPort("::1", "7001"))
	}},
	{"update of pids", func(t *testing.T, c *container) {
		c.do(t, "update", "--pids-limit", "400")
		if got := limitOf(t, c.inspect(t).State.Pid, pidsLimit); got != "400" {
			t.Errorf("the limit is %s", got)
		}
	}},
	{"health", func(t *testing.T, c *container) {
		harness.Until(t, 20*time.Second, "health", func() (bool, string) {
			now := c.inspect(t).State.Health.Status
			return now == "healthy", now
		})
	}},
	copyIn, copyOut, sibling,
}

var (
	copyIn = verb{"copy in", func(t *testing.T, c *container) {
		file := filepath.Join(c.e.world.dir, "copied")
		must(t, os.WriteFile(file, []byte("copied"), 0o644))
		c.e.do(t, "cp", file, c.name+":/copied")
		want(t, c.exec(t, "cat", "/copied"), "copied")
	}}
	copyOut = verb{"copy from a volume", func(t *testing.T, c *container) {
		c.exec(t, "sh", "-c", "echo out > /shared/out")
		to := filepath.Join(c.e.world.dir, "out")
		c.e.do(t, "cp", c.name+":/shared/out", to)
		b, err := os.ReadFile(to)
		must(t, err)
		want(t, string(b), "out")
	}}
	sibling = verb{"sibling", func(t *testing.T, c *container) {
		got := c.e.prints(t, nil, "sh", "-c", "echo hello | nc "+c.inspect(t).NetworkSettings.IPAddress+" 7000")
		want(t, got, "hello")
	}}
)

// testRollback runs every verb on a container before it was rolled back and
// after: it must be the same container.
func testRollback(t *testing.T, e *engine, verbs []verb, flags ...string) {
	shared := filepath.Join(e.world.dir, "shared")
	must(t, os.MkdirAll(shared, 0o755))
	c := e.server(t, append([]string{"-v", shared + ":/shared", "-p", "7001:7000"}, flags...)...)
	each := func(t *testing.T) {
		for _, v := range verbs {
			t.Run(v.name, func(t *testing.T) { v.do(t, c) })
		}
	}
	if !t.Run("before", each) {
		return
	}
	before := c.inspect(t)
	c.rollBack(t)
	c.isSame(t, before)
	t.Run("after", each)
	c.isSame(t, before)
}

func execVerb(t *testing.T, c *container) {
	want(t, c.exec(t, "ps"), "echo-server")
	want(t, c.e.do(t, "exec", "-u", "1000", "-w", "/tmp", "-e", "A=b", c.name, "sh", "-c", "id -u; pwd; echo $A"), "1000\n/tmp\nb")
}

func pauseVerb(t *testing.T, c *container) {
	c.do(t, "pause")
	c.reaches(t, "paused")
	address := net.JoinHostPort(c.inspect(t).NetworkSettings.IPAddress, "7000")
	if err := exchange(c.e.world, "tcp4", address, 300*time.Millisecond); err == nil {
		t.Error("a paused container answers")
	}
	c.do(t, "unpause")
	c.reaches(t, "running")
	answers(t, c.e.world, "tcp4", address)
}

// answers checks that the server at an address echoes, soon.
func answers(t *testing.T, w *world, network, address string) {
	t.Helper()
	harness.Until(t, 10*time.Second, "answer from "+address, func() (bool, string) {
		err := exchange(w, network, address, 2*time.Second)
		return err == nil, fmt.Sprint(err)
	})
}

// exchange says a line to the server and reads it back.
func exchange(w *world, network, address string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := w.dial(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return echo(conn, patience)
}

func echo(conn net.Conn, patience time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("echoed %q", line)
	}
	return err
}

// want checks that text is in the output got.
func want(t *testing.T, got, text string) {
	t.Helper()
	if !strings.Contains(strings.ReplaceAll(got, "\r\n", "\n"), text) {
		t.Errorf("want %q, got %q", text, got)
	}
}
