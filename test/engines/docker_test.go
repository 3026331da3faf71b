package engines

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"runsc-recover/test/harness"
)

// Addresses of docker's default bridge in the world.
const (
	bridge4 = "10.99.0.1"
	bridge6 = "fd99::1"
)

// docker starts a dockerd of its own.
func docker(t *testing.T, settings map[string]any) *engine {
	t.Helper()
	harness.NeedProgram(t, "dockerd")
	w := newWorld(t)
	e := &engine{
		world:  w,
		name:   "docker",
		client: []string{dockerClient(), "--host", "unix://" + filepath.Join(w.dir, "s")},
		run:    []string{"--runtime", "rr"},
		// containerd's shim names it so for a runtime that docker was given.
		root:   filepath.Join(w.dir, "x", "runtime-runc", "moby"),
		bridge: bridge4,
		count:  new(atomic.Int32),
		shares: []string{"--runtime", "rr-host"},
		off:    []string{"--runtime", "rr-off"},
	}
	e.daemon = startDockerd(t, w, settings)
	e.do(t, "import", buildImage(t, w), imageName)
	return e
}

// dockerClient is the client of the daemon's package, when there is one.
func dockerClient() string {
	if _, err := os.Stat("/usr/bin/docker"); err == nil {
		return "/usr/bin/docker"
	}
	return "docker"
}

func startDockerd(t *testing.T, w *world, settings map[string]any) *daemon {
	t.Helper()
	socket := filepath.Join(w.dir, "s")
	config := map[string]any{
		"data-root": filepath.Join(w.dir, "data"), "exec-root": filepath.Join(w.dir, "x"),
		"pidfile": filepath.Join(w.dir, "docker.pid"), "hosts": []string{"unix://" + socket},
		"storage-driver": "vfs", "cgroup-parent": "/" + w.cgroup,
		"exec-opts": []string{"native.cgroupdriver=cgroupfs"}, "experimental": true,
		"bip": bridge4 + "/24", "ipv6": true, "fixed-cidr-v6": "fd99::/64", "ip6tables": true,
	}
	for k, v := range settings {
		config[k] = v
	}
	text, err := json.Marshal(config)
	must(t, err)
	file := filepath.Join(w.dir, "etc", "docker", "daemon.json")
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, text, 0o644))
	w.install(t, "docker", "--name", "rr", "--interval", "500ms")
	w.install(t, "docker", "--name", "rr-host", "--interval", "500ms", "--network", "host")
	w.install(t, "docker", "--name", "rr-off", "--enabled", "false")
	d := startDaemon(t, w, []string{dockerClient(), "--host", "unix://" + socket, "version"}, "dockerd", "--config-file", file)
	d.helper = filepath.Join(w.dir, "x", "containerd", "containerd.pid")
	return d
}

func TestDocker(t *testing.T) {
	t.Parallel()
	e := docker(t, nil)
	for _, suite := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"rollback", func(t *testing.T) {
			testRollback(t, e, slices.Concat(verbs, dockerVerbs), "--health-cmd", "true", "--health-interval", "500ms")
		}},
		{"options", func(t *testing.T) { testOptions(t, e) }},
		{"statuses", func(t *testing.T) { testStatuses(t, e) }},
		{"ends", func(t *testing.T) { testEnds(t, e) }},
		{"restart policy", func(t *testing.T) { testRestartPolicy(t, e) }},
		{"networks", func(t *testing.T) { testNetworks(t, e) }},
		{"shared network", func(t *testing.T) { testSharedNetwork(t, e) }},
		{"host's network", func(t *testing.T) { testHostNetwork(t, e) }},
		{"terminal", func(t *testing.T) { testTerminal(t, e) }},
		{"out of memory", func(t *testing.T) { testOutOfMemory(t, e) }},
		{"enforced limits", func(t *testing.T) { testEnforced(t, e) }},
		{"traffic", func(t *testing.T) { testDockerTraffic(t, e) }},
		{"images", func(t *testing.T) { testImages(t, e) }},
		{"deaths", func(t *testing.T) { testDeaths(t, e) }},
	} {
		t.Run(suite.name, suite.run)
	}
}

// testDockerTraffic takes each way to a container.
func testDockerTraffic(t *testing.T, e *engine) {
	for _, way := range []struct {
		name, network string
		address       func(inspected) string
	}{
		{"address", "tcp4", func(i inspected) string { return net.JoinHostPort(i.NetworkSettings.IPAddress, "7000") }},
		{"address with IPv6", "tcp6", func(i inspected) string { return net.JoinHostPort(i.NetworkSettings.GlobalIPv6Address, "7000") }},
		{"published port", "tcp4", func(inspected) string { return net.JoinHostPort(bridge4, "7002") }},
		{"published port with IPv6", "tcp6", func(inspected) string { return net.JoinHostPort(bridge6, "7002") }},
	} {
		t.Run(way.name, func(t *testing.T) { testTraffic(t, e, way.network, way.address) })
		t.Run(way.name+", wrk", func(t *testing.T) { testNginx(t, e, way.network, way.address) })
		t.Run(way.name+", redis-benchmark", func(t *testing.T) { testRedis(t, e, way.network, way.address) })
	}
}
