package engines

import (
	"net"
	"testing"
)

// testPodmanPod runs the containers of a pod, which share its network.
func testPodmanPod(t *testing.T, e *engine) {
	pod := func(t *testing.T) string {
		name := e.newName()
		e.do(t, "pod", "create", "--name", name, "--cgroup-parent", "/"+e.world.cgroup)
		t.Cleanup(func() { e.do(t, "pod", "rm", "-f", name) })
		return name
	}
	t.Run("on its own stack", func(t *testing.T) {
		in := []string{"--pod", pod(t)}
		first := e.server(t, append(in, e.shares...)...)
		second := e.start(t, append(in, e.shares...), "sleep", "1000")
		for _, c := range []*container{first, second, first} {
			want(t, second.exec(t, "sh", "-c", "echo hello | nc 127.0.0.1 7000"), "hello")
			if c == first {
				c.rollBack(t)
			}
		}
	})
	t.Run("with a stack for each", func(t *testing.T) {
		in := []string{"--pod", pod(t)}
		first := e.server(t, in...)
		r := e.once(t, in, "true")
		if r.Code != 125 && r.Code != 126 {
			t.Errorf("want a refusal, got %v", r)
		}
		want(t, r.Stderr, "network=host")
		first.rollBack(t)
		want(t, first.exec(t, "sh", "-c", "echo hello | nc 127.0.0.1 7000"), "hello")
	})
}

// testPodmanIPv6 reaches a container in a network of both versions.
func testPodmanIPv6(t *testing.T, e *engine) {
	const subnet, gateway = "fd98::/64", "fd98::1"
	network := e.newName()
	e.do(t, "network", "create", "--ipv6", "--subnet", "10.98.0.0/24", "--subnet", subnet, network)
	t.Cleanup(func() { e.try(t, "network", "rm", "-f", network) })
	c := e.server(t, "--network", network, "-p", "7004:7000")
	address := c.e.do(t, "inspect", "-f", `{{(index .NetworkSettings.Networks "`+network+`").GlobalIPv6Address}}`, c.name)
	for range 2 {
		answers(t, e.world, "tcp6", net.JoinHostPort(address, "7000"))
		answers(t, e.world, "tcp6", net.JoinHostPort(gateway, "7004"))
		c.rollBack(t)
	}
	answers(t, e.world, "tcp6", net.JoinHostPort(address, "7000"))
}
