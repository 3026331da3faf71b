package engines

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// podman returns the engine, which has no daemon.
func podman(t *testing.T) *engine {
	t.Helper()
	harness.NeedProgram(t, "podman")
	w := newWorld(t)
	w.install(t, "podman", "--name", "rr", "--interval", "500ms")
	conf := filepath.Join(w.dir, "etc", "containers", "containers.conf.d", "rr.conf")
	e := &engine{
		world: w,
		name:  "podman",
		client: []string{"env", "CONTAINERS_CONF=" + conf, "podman",
			"--root", filepath.Join(w.dir, "data"), "--runroot", filepath.Join(w.dir, "run"), "--tmpdir", filepath.Join(w.dir, "tmp"),
			"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "rr"},
		run:    []string{"--cgroup-parent", "/" + w.cgroup, "--log-driver", "k8s-file"},
		root:   "/run/runsc-recover",
		bridge: "10.88.0.1",
		count:  new(atomic.Int32),
		shares: []string{"--annotation", "dev.runsc-recover.network=host"},
		off:    []string{"--annotation", "dev.runsc-recover.enabled=false"},
	}
	e.do(t, "import", buildImage(t, w), imageName)
	return e
}

// podmanVerbs leaves out one of which podman has its own idea: its top lists the
// host's processes for every runtime whose init isn't in a PID namespace.
func podmanVerbs() []verb {
	own := slices.DeleteFunc(slices.Clone(verbs), func(v verb) bool { return v.name == "top" })
	return append(own, verb{"health", func(t *testing.T, c *container) { c.e.do(t, "healthcheck", "run", c.name) }},
		copyIn, copyOut, sibling)
}

func TestPodman(t *testing.T) {
	t.Parallel()
	e := podman(t)
	for _, suite := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"rollback", func(t *testing.T) {
			testRollback(t, e, podmanVerbs(), "--health-cmd", "true", "--health-interval", "disable")
		}},
		{"options", func(t *testing.T) { testOptions(t, e) }},
		{"statuses", func(t *testing.T) { testStatuses(t, e) }},
		{"enforced limits", func(t *testing.T) { testEnforced(t, e) }},
		{"ends", func(t *testing.T) { testEnds(t, e) }},
		{"restart policy", func(t *testing.T) { testRestartPolicy(t, e) }},
		{"networks", func(t *testing.T) { testNetworks(t, e) }},
		{"shared network", func(t *testing.T) { testSharedNetwork(t, e) }},
		{"host's network", func(t *testing.T) { testHostNetwork(t, e) }},
		{"pod", func(t *testing.T) { testPodmanPod(t, e) }},
		{"network with IPv6", func(t *testing.T) { testPodmanIPv6(t, e) }},
		{"supervisor killed", func(t *testing.T) { testPodmanDeath(t, e) }},
		{"terminal", func(t *testing.T) { testTerminal(t, e) }},
		{"images", func(t *testing.T) { testPodmanImages(t, e) }},
		{"traffic", func(t *testing.T) {
			testTraffic(t, e, "tcp4", func(i inspected) string { return net.JoinHostPort(i.NetworkSettings.IPAddress, "7000") })
		}},
	} {
		t.Run(suite.name, suite.run)
	}
}

// testPodmanDeath kills the supervisor: the container ends with it, nothing of
// it is left, and it may be started again.
func testPodmanDeath(t *testing.T, e *engine) {
	c := e.server(t)
	c.rollBack(t)
	before := c.inspect(t)
	must(t, unix.Kill(before.State.Pid, unix.SIGKILL))
	if now := c.reaches(t, "exited"); now.State.ExitCode != 137 {
		t.Errorf("ended with %d", now.State.ExitCode)
	}
	e.world.hasEnded(t, before.ID)
	c.do(t, "start")
	c.says(t, "ready", 2)
	c.rollBack(t)
}

// testPodmanImages ends a container by saving it, and goes on with it. Podman
// asks for CRIU, whatever the runtime.
func testPodmanImages(t *testing.T, e *engine) {
	harness.NeedProgram(t, "criu")
	c := e.server(t)
	c.rollBack(t)
	c.do(t, "container", "checkpoint")
	c.reaches(t, "exited")
	c.do(t, "container", "restore")
	c.reaches(t, "running")
	c.rollBack(t)
	if out := c.do(t, "logs"); strings.Count(out, "ready") != 1 {
		t.Errorf("it began afresh: %s", out)
	}
}
