package engines

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// crowdSize is how many connections the load has.
const crowdSize = 50

// daemonFlags give a container the host's programs.
func daemonFlags() []string {
	return []string{"-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro", "-p", "7002:7000"}
}

const nginxConf = `daemon off; user root; worker_processes 1; pid /tmp/pid; error_log /dev/stderr;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000;
	client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
	server { listen 7000; listen [::]:7000; location / { return 200 "hello\n"; } }
}
`

// testNginx rolls nginx back under wrk, which connects again when it is reset:
// nobody is refused, nobody waits in vain.
func testNginx(t *testing.T, e *engine, network string, address func(inspected) string) {
	harness.NeedProgram(t, "wrk")
	harness.NeedProgram(t, "/usr/sbin/nginx")
	conf := filepath.Join(e.world.dir, "nginx.conf")
	must(t, os.WriteFile(conf, []byte(nginxConf), 0o644))
	c := e.start(t, append(daemonFlags(), "-v", conf+":/nginx.conf:ro"), "/usr/sbin/nginx", "-e", "/dev/stderr", "-c", "/nginx.conf")
	to := address(c.inspect(t))
	c.answers(t, network, to, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK")

	ctx, cancel := context.WithTimeout(t.Context(), harness.CommandTimeout())
	defer cancel()
	wrk := e.world.command(ctx, "wrk", "-t", "1", "-c", strconv.Itoa(crowdSize), "-d", "60s", "--timeout", "3s", "http://"+to+"/")
	var output bytes.Buffer
	wrk.Stdout, wrk.Stderr = &output, &output
	must(t, wrk.Start())
	c.failsUnderLoad(t)
	c.answers(t, network, to, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK")
	must(t, wrk.Process.Signal(unix.SIGINT)) // wrk ends and prints its counts
	if err := wrk.Wait(); err != nil {
		t.Fatalf("wrk: %v: %s", err, output.String())
	}
	w := readWrk(t, output.String())
	t.Logf("wrk: %+v", w)
	if w.refused > 0 || w.hanging > 0 || w.answers == 0 || w.reset == 0 {
		t.Errorf("%s", output.String())
	}
}

// readWrk reads wrk's counts.
func readWrk(t *testing.T, said string) tally {
	t.Helper()
	var c tally
	requests := regexp.MustCompile(`(\d+) requests in`).FindStringSubmatch(said)
	latency := regexp.MustCompile(`Latency +\S+ +\S+ +(\S+)`).FindStringSubmatch(said)
	if requests == nil || latency == nil {
		t.Fatalf("wrk said %s", said)
	}
	_, err := fmt.Sscan(requests[1], &c.answers)
	must(t, err)
	c.silence, err = time.ParseDuration(latency[1])
	must(t, err)
	if _, errors, ok := strings.Cut(said, "Socket errors:"); ok {
		var read, write int
		_, err := fmt.Sscanf(errors, " connect %d, read %d, write %d, timeout %d", &c.refused, &read, &write, &c.hanging)
		must(t, err)
		c.reset = read + write
	}
	return c
}

// testRedis rolls redis back under redis-benchmark, which ends when it is
// reset. Connections that have said nothing since go on.
func testRedis(t *testing.T, e *engine, network string, address func(inspected) string) {
	harness.NeedProgram(t, "redis-benchmark")
	harness.NeedProgram(t, "/usr/bin/redis-server")
	c := e.start(t, daemonFlags(), "/usr/bin/redis-server", "--port", "7000", "--bind", "*", "-::*", "--protected-mode", "no", "--save", "")
	to := address(c.inspect(t))
	const ping, pong = "PING\r\n", "+PONG"
	c.answers(t, network, to, ping, pong)
	var silent []net.Conn
	for range crowdSize {
		conn, err := e.world.dial(t.Context(), network, to)
		must(t, err)
		defer conn.Close()
		must(t, request(conn, ping, pong))
		silent = append(silent, conn)
	}
	c.checkpoint(t)

	host, port, err := net.SplitHostPort(to)
	must(t, err)
	benchmark := func(requests int, more ...string) ([]byte, time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), harness.CommandTimeout())
		defer cancel()
		args := append([]string{"redis-benchmark", "-h", host, "-p", port, "-c", strconv.Itoa(crowdSize), "-n", strconv.Itoa(requests), "-t", "set"}, more...)
		began := time.Now()
		said, err := e.world.command(ctx, args...).CombinedOutput()
		return said, time.Since(began), err
	}
	var said []byte
	var endedAt time.Time
	var running sync.WaitGroup
	running.Go(func() {
		said, _, err = benchmark(1 << 30)
		endedAt = time.Now()
	})
	failedAt := c.failsUnderLoad(t)
	running.Wait()
	took := endedAt.Sub(failedAt)
	if err == nil || !strings.Contains(string(said), "reset") && !strings.Contains(string(said), "closed") || took > patience {
		t.Errorf("redis-benchmark wasn't reset: %v after %v: %.300s", err, took, said)
	}
	var quiet crowd
	for _, conn := range silent {
		quiet.ended(request(conn, ping, pong))
	}
	if quiet.counts.survived != crowdSize {
		t.Errorf("of %d silent connections: %+v %v", crowdSize, quiet.counts, quiet.others)
	}
	again, _, err := benchmark(5000, "--csv")
	if err != nil {
		t.Errorf("redis-benchmark after it: %v: %s", err, again)
	}
	t.Logf("redis-benchmark was reset after %v; silent: %+v", took, quiet.counts)
}

// failsUnderLoad takes a checkpoint while the load is on, and another one, so
// that connections are busy at and after the newest. It returns when the
// container failed.
func (c *container) failsUnderLoad(t *testing.T) time.Time {
	t.Helper()
	c.checkpoint(t)
	c.checkpoint(t)
	failedAt := time.Now()
	c.e.runtime(t, "fail", c.inspect(t).ID)
	return failedAt
}

// answers waits until the server does.
func (c *container) answers(t *testing.T, network, address, ask, want string) {
	t.Helper()
	harness.Until(t, 30*time.Second, "an answer of the server", func() (bool, string) {
		conn, err := c.e.world.dial(t.Context(), network, address)
		if err != nil {
			return false, err.Error()
		}
		defer conn.Close()
		err = request(conn, ask, want)
		return err == nil, fmt.Sprint(err)
	})
}

// request sends a request and checks how the answer begins.
func request(conn net.Conn, ask, want string) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(ask)); err != nil {
		return err
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(answer[:n]), want) {
		return fmt.Errorf("answer %q", answer[:n])
	}
	return nil
}
