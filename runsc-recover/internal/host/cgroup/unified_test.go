package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/expect"
)

// fakeUnified is a cgroup whose files lie in an ordinary directory.
func fakeUnified(t *testing.T, files map[string]string) *unifiedCgroup {
	t.Helper()
	// Without it the library refuses what isn't the kernel's own file system.
	cgroups.TestMode = true
	t.Cleanup(func() { cgroups.TestMode = false })
	dir := filepath.Join(t.TempDir(), "pod", "container")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files["cgroup.controllers"] = "cpuset cpu io memory pids"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := fs2.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return &unifiedCgroup{m: m, dir: dir}
}

func (c *unifiedCgroup) holds(t *testing.T, want map[string]string) {
	t.Helper()
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			t.Error(err)
		}
		expect.Equal(t, name, strings.TrimSpace(string(got)), text)
	}
}

func TestUnifiedLimits(t *testing.T) {
	c := fakeUnified(t, map[string]string{})
	memory, both, pids, quota, shares := int64(200<<20), int64(300<<20), int64(500), int64(50000), uint64(1024)
	update := func(res *specs.LinuxResources) {
		t.Helper()
		if err := c.Update(res); err != nil {
			t.Fatal(err)
		}
	}
	update(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &both},
		CPU:    &specs.LinuxCPU{Quota: &quota, Shares: &shares},
		Pids:   &specs.LinuxPids{Limit: pids},
	})
	// Swap is counted by itself, and a quota without a period has the kernel's.
	c.holds(t, map[string]string{
		"memory.max": "209715200", "memory.swap.max": "104857600", "pids.max": "500", "cpu.max": "50000 100000", "cpu.weight": "100",
	})
	// A limit of both is told from that of memory, which was set before.
	both = 250 << 20
	update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: &both}})
	c.holds(t, map[string]string{"memory.max": "209715200", "memory.swap.max": "52428800", "pids.max": "500"})
	none := int64(-1)
	update(&specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &none, Swap: &none},
		CPU:     &specs.LinuxCPU{Quota: &none},
		Pids:    &specs.LinuxPids{Limit: none},
		Unified: map[string]string{"memory.high": "1000"},
	})
	c.holds(t, map[string]string{
		"memory.max": "max", "memory.swap.max": "max", "pids.max": "max", "cpu.max": "max 100000", "memory.high": "1000",
	})
}

func TestAUnifiedLimitThatIsRefusedIsForgotten(t *testing.T) {
	c := fakeUnified(t, map[string]string{})
	memory, less := int64(200<<20), int64(100<<20)
	if err := c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory, Swap: &less}}); err == nil {
		t.Error("a limit of memory and swap below that of memory was taken")
	}
	if err := c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}}); err != nil {
		t.Error(err)
	}
	c.holds(t, map[string]string{"memory.max": "209715200"})
}

func TestUnifiedMemory(t *testing.T) {
	c := fakeUnified(t, map[string]string{
		"memory.stat": "anon 700\ninactive_file 100\nactive_file 200\n", "memory.current": "1000\n", "memory.max": "max\n", "memory.peak": "1500\n",
		"cpu.stat": "usage_usec 3\nuser_usec 2\nsystem_usec 1\n", "pids.current": "7\n", "pids.max": "max\n", "memory.events": "oom_kill 2\n",
	})
	use, err := c.Memory()
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "without a limit", use, MemoryUse{Used: 700})
	s, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "memory", [3]uint64{s.MemoryUsage, s.MemoryLimit, s.MemoryMax}, [3]uint64{1000, math.MaxUint64, 1500})
	expect.Equal(t, "time", [3]uint64{s.CPUUsageNS, s.CPUUserNS, s.CPUKernelNS}, [3]uint64{3000, 2000, 1000})
	expect.Equal(t, "pids, kills", [2]uint64{s.PidsCurrent, s.OOMKills}, [2]uint64{7, 2})
}

func TestTheTightestLimitHolds(t *testing.T) {
	c := fakeUnified(t, map[string]string{"memory.max": "5000\n"})
	pod := filepath.Dir(c.dir)
	limit := func() uint64 { return tightestLimit(c.dir, filepath.Dir(pod)) }
	expect.Equal(t, "its own", limit(), uint64(5000))
	for text, want := range map[string]uint64{"max": 5000, "9000": 5000, "4000\n": 4000} {
		if err := os.WriteFile(filepath.Join(pod, "memory.max"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "pod's is "+text, limit(), want)
	}
}
