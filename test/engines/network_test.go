package engines

import (
	"net"
	"testing"
)

// testNetworks connects containers in a network made by a user.
func testNetworks(t *testing.T, e *engine) {
	network := e.newName()
	e.do(t, "network", "create", network)
	t.Cleanup(func() { e.try(t, "network", "rm", network) })
	c := e.server(t, "--network", network)
	client := e.server(t, "--network", network)
	address := e.do(t, "inspect", "-f", "{{(index .NetworkSettings.Networks \""+network+"\").IPAddress}}", c.name)
	for _, when := range []string{"before", "after"} {
		got := e.prints(t, []string{"--network", network}, "sh", "-c", "echo hello | nc "+address+" 7000")
		want(t, got, "hello")
		// By the one's name, in the other and in one that begins now.
		want(t, client.exec(t, "nslookup", c.name), "Address: "+address)
		want(t, client.exec(t, "sh", "-c", "echo hello | nc "+c.name+" 7000"), "hello")
		want(t, e.prints(t, []string{"--network", network}, "nslookup", c.name), "Address: "+address)
		if when == "before" {
			c.rollBack(t)
			client.rollBack(t)
		}
	}
}

// testSharedNetwork runs containers in the network of another.
func testSharedNetwork(t *testing.T, e *engine) {
	connect := []string{"sh", "-c", "echo hello | nc 127.0.0.1 7000"}
	for name, x := range map[string]struct {
		e     *engine
		flags []string
		ours  bool
	}{
		"on the host's stack": {e, e.shares, true},
		"of runc":             {e.with("runc"), nil, false},
	} {
		t.Run("beside one "+name, func(t *testing.T) {
			c := x.e.server(t, append([]string{"-p", "7003:7000"}, x.flags...)...)
			for _, when := range []string{"before", "after"} {
				want(t, e.prints(t, []string{"--network", "container:" + c.name}, connect...), "hello")
				answers(t, e.world, "tcp4", net.JoinHostPort(c.inspect(t).NetworkSettings.IPAddress, "7000"))
				answers(t, e.world, "tcp4", net.JoinHostPort(e.bridge, "7003"))
				if when == "before" && x.ours {
					c.rollBack(t)
				}
			}
		})
	}
	t.Run("beside one with a stack of its own", func(t *testing.T) {
		c := e.server(t)
		c.rollBack(t)
		r := e.once(t, []string{"--network", "container:" + c.name}, "true")
		if r.Code != 125 && r.Code != 126 {
			t.Errorf("want a refusal, got %v", r)
		}
		want(t, r.Stderr, "network=host")
		want(t, r.Stderr, c.inspect(t).ID[:12])
		answers(t, e.world, "tcp4", net.JoinHostPort(c.inspect(t).NetworkSettings.IPAddress, "7000"))
	})
}

// testHostNetwork rolls a server on the host's own network back: the copy must
// listen where the one that failed did.
func testHostNetwork(t *testing.T, e *engine) {
	c := e.server(t, "--network", "host")
	for range 2 {
		answers(t, e.world, "tcp4", "127.0.0.1:7000")
		c.rollBack(t)
	}
	answers(t, e.world, "tcp4", "127.0.0.1:7000")
	want(t, c.exec(t, "sh", "-c", "echo hello | nc 127.0.0.1 7000"), "hello")
}
