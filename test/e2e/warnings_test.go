package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/harness"
)

// A bundle with features that a sandbox can't have, or that can't go back, runs, is
// rolled back, and its creator is told their names.
func TestUnsavableFeaturesAreNamed(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	path := filepath.Join(rt.Dir, "host.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := rt.Shell("echo ready; while :; do sleep 0.05; done").Mount(path, "/tmp/host.sock").Recover("network", "host")
	b.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	b.Spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 20}}
	c := rt.Start(b.Write())
	c.Says("ready", 1)
	log := c.Log()
	for _, want := range []string{path, "/dev/fuse", "host's network stack", "limit of 20"} {
		if strings.Count(log, "level=warn") < 4 || !strings.Contains(log, want) {
			t.Errorf("no warning of %s in:\n%s", want, log)
		}
	}
	c.HasCheckpoints(1)
	rt.Do("fail", c.ID)
	c.Recovered(1)
}
