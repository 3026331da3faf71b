package e2e

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// inNamespace puts the container into the wire's inner namespace.
func (w *wire) inNamespace(b *harness.Bundle) *harness.Bundle {
	for i, ns := range b.Spec.Linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			b.Spec.Linux.Namespaces[i].Path = "/run/netns/" + w.inside
		}
	}
	return b
}

// configuration is that of the inner namespace's interface.
func (w *wire) configuration() string {
	w.t.Helper()
	var all strings.Builder
	for _, args := range [][]string{{"-4", "addr"}, {"-6", "addr", "show", "scope", "global"}, {"-4", "route"}, {"-6", "route"}} {
		out, err := exec.Command("ip", append([]string{"-n", w.inside, "-br"}, args...)...).CombinedOutput()
		if err != nil {
			w.t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		all.Write(out)
	}
	return all.String()
}

// A network namespace that outlives its container is as it was before, however
// the container ended, so that the next one finds its network there.
func TestNamespaceIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	w.ip("-n", w.inside, "route", "add", "10.20.0.0/16", "via", peerIP)
	w.ip("-n", w.inside, "route", "add", "default", "via", peerIP, "mtu", "1400")
	w.ip("-n", w.inside, "addr", "add", "fd11::2/64", "dev", "eth0", "nodad")
	w.ip("-n", w.inside, "-6", "route", "add", "default", "via", "fd11::1")
	before := w.configuration()
	for _, end := range []struct {
		name string
		end  func(c *harness.Container)
	}{
		{"deleted", func(*harness.Container) {}},
		{"killed", func(c *harness.Container) { rt.Do("kill", c.ID, "KILL"); c.Reaches("stopped") }},
		{"its supervisor killed", func(c *harness.Container) {
			if err := unix.Kill(c.State().Pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.Reaches("stopped")
		}},
	} {
		c := rt.Start(w.inNamespace(rt.Bundle([]string{"/bin/echo"}, "echo")).Write())
		c.Says("ready", 1)
		rt.Do("checkpoint", "--into-store", c.ID)
		rt.Do("fail", c.ID)
		c.Says("told 0", 1)
		conn, err := w.dial(echoPort)
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, conn)
		conn.Close()
		if strings.Contains(w.configuration(), insideIP) {
			t.Error("the host's stack has the address of a container that runs")
		}
		second := w.inNamespace(rt.Bundle([]string{"/bin/echo"}, "echo")).Write()
		rt.Refused(1, "has taken the addresses", "create", "--bundle", second.Dir, rt.NewID())
		end.end(c)
		c.Delete("--force")
		if now := w.configuration(); now != before {
			t.Errorf("%s: it was\n%s\nand is\n%s", end.name, before, now)
		}
	}
}

// Containers with the namespace's own stack share it, loopback and all, and
// servers there listen again after a rollback.
func TestNamespaceIsShared(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	server := rt.Start(w.inNamespace(rt.Bundle([]string{"/bin/echo"}, "echo")).Recover("network", "host").Write())
	server.Says("ready", 1)
	for n := range 3 {
		if n > 0 {
			rt.Do("checkpoint", "--into-store", server.ID)
			rt.Do("fail", server.ID)
			server.Says("told 0", n)
			server.Recovered(n)
		}
		// The second finds out by itself.
		client := rt.Start(w.inNamespace(rt.Shell("echo hello | nc 127.0.0.1 7000")).Write())
		client.Exits(0)
		client.Says("hello", 1)
		conn, err := w.dial(echoPort)
		if err != nil {
			t.Fatal(err)
		}
		echoed(t, conn)
		conn.Close()
	}
}

// An address that comes after the creation, as of engines that attach a network
// then, is found at the start and by a program that is started afresh.
func TestLateNetwork(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	w.ip("-n", w.inside, "addr", "flush", "dev", "eth0")
	c := rt.Create(w.inNamespace(rt.Bundle([]string{"/bin/echo"}, "echo")).Recover("exhausted", "restart").Recover("max-rate", "1").Write())
	w.ip("-n", w.inside, "addr", "add", insideIP+"/24", "dev", "eth0")
	rt.Do("start", c.ID)
	c.Says("ready", 1)
	answersSoon(t, w)
	rt.Do("checkpoint", "--into-store", c.ID)
	rt.Do("fail", c.ID)
	c.Says("told 0", 1)
	answersSoon(t, w)
	rt.Do("kill", c.ID, "USR1")
	c.Says("ready", 2)
	answersSoon(t, w)
}

func answersSoon(t *testing.T, w *wire) {
	t.Helper()
	var conn net.Conn
	harness.Until(t, 10*time.Second, "the server's answer", func() (bool, string) {
		var err error
		conn, err = w.dial(echoPort)
		return err == nil, "no connection"
	})
	echoed(t, conn)
	conn.Close()
}

// Raw sockets are for whom the bundle gives CAP_NET_RAW, as docker does, and go
// on after a rollback.
func TestRawSockets(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	ping := func(caps ...string) *harness.Container {
		b := w.inNamespace(rt.Shell("while :; do busybox ping -c 1 -w 5 " + peerIP + " 2>&1; sleep 0.1; done"))
		all := append(b.Spec.Process.Capabilities.Bounding, caps...)
		b.Spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		return rt.Start(b.Recover("grace", "0s").Write())
	}
	without := ping()
	without.Says("permission denied", 1)
	without.Delete("--force")
	c := ping("CAP_NET_RAW")
	c.Says("bytes from "+peerIP, 1)
	rt.Do("checkpoint", "--into-store", c.ID)
	rt.Do("fail", c.ID)
	c.Recovered(1)
	c.Says("bytes from "+peerIP, strings.Count(c.Output(), "bytes from")+3)
}
