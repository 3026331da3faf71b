package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

// fakeUnified returns a cgroup of version 2 whose files lie in an ordinary directory.
func fakeUnified(t *testing.T, files map[string]string) *Cgroup {
	t.Helper()
	dir := fakeDir(t, "container", files)
	writeFile(t, dir, "cgroup.controllers", "cpuset cpu io memory pids")
	limits := newResources()
	m, err := fs2.NewManager(&cgroups.Cgroup{Resources: &limits}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return newCgroup(m, limits, true)
}

// fakeLegacy returns a cgroup of version 1 with the given controllers, whose files
// lie in ordinary directories.
func fakeLegacy(t *testing.T, controllers map[string]map[string]string) *Cgroup {
	t.Helper()
	paths := make(map[string]string)
	for name, files := range controllers {
		paths[name] = fakeDir(t, name, files)
	}
	limits := newResources()
	m, err := fs.NewManager(&cgroups.Cgroup{Resources: &limits}, paths)
	if err != nil {
		t.Fatal(err)
	}
	return newCgroup(m, limits, false)
}

func fakeDir(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	// The library otherwise refuses files that aren't on the kernel's file system.
	cgroups.TestMode = true
	t.Cleanup(func() { cgroups.TestMode = false })
	dir := filepath.Join(t.TempDir(), "pod", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		writeFile(t, dir, file, text)
	}
	return dir
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// holds checks the files of a cgroup's directory; the controller is empty in
// version 2.
func (c *Cgroup) holds(t *testing.T, controller string, want map[string]string) {
	t.Helper()
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(c.manager.Path(controller), name))
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
	c.holds(t, "", map[string]string{
		"memory.max": "209715200", "memory.swap.max": "104857600", "pids.max": "500", "cpu.max": "50000 100000", "cpu.weight": "100",
	})
	// A limit of both is told from that of memory, which was set before.
	both = 250 << 20
	update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: &both}})
	c.holds(t, "", map[string]string{"memory.max": "209715200", "memory.swap.max": "52428800", "pids.max": "500"})
	none := int64(-1)
	update(&specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &none, Swap: &none},
		CPU:     &specs.LinuxCPU{Quota: &none},
		Pids:    &specs.LinuxPids{Limit: none},
		Unified: map[string]string{"memory.high": "1000"},
	})
	c.holds(t, "", map[string]string{
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
	c.holds(t, "", map[string]string{"memory.max": "209715200"})
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
	dir := c.manager.Path("")
	pod := filepath.Dir(dir)
	limit := func() uint64 { return tightestLimit(dir, filepath.Dir(pod)) }
	expect.Equal(t, "its own", limit(), uint64(5000))
	for text, want := range map[string]uint64{"max": 5000, "9000": 5000, "4000\n": 4000} {
		writeFile(t, pod, "memory.max", text)
		expect.Equal(t, "pod's is "+text, limit(), want)
	}
}

// legacyMemoryFiles are the files that the library reads beside those that it
// writes.
func legacyMemoryFiles() map[string]string {
	return map[string]string{
		"memory.limit_in_bytes": "1000\n", "memory.usage_in_bytes": "900\n", "memory.max_usage_in_bytes": "950\n", "memory.failcnt": "3\n",
		"memory.stat": "cache 1\nhierarchical_memory_limit 1000\n", "memory.use_hierarchy": "1\n", "memory.oom_control": "oom_kill 2\n",
	}
}

func TestLegacyLimits(t *testing.T) {
	c := fakeLegacy(t, map[string]map[string]string{"memory": legacyMemoryFiles(), "cpu": {}, "pids": {}})
	memory, both, tcp, pids, shares := int64(200<<20), int64(300<<20), int64(1<<20), int64(500), uint64(1)
	zero := uint64(0)
	err := c.Update(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &both, KernelTCP: &tcp, Swappiness: &zero},
		CPU:    &specs.LinuxCPU{Shares: &shares, Cpus: "0-1"},
		Pids:   &specs.LinuxPids{Limit: pids},
		// The cgroup has no such controllers.
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}},
		BlockIO:        &specs.LinuxBlockIO{Weight: new(uint16)},
		Network:        &specs.LinuxNetwork{ClassID: new(uint32), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0"}}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5_1": {}},
	})
	expect.Equal(t, "error", err, nil)
	c.holds(t, "memory", map[string]string{
		"memory.limit_in_bytes": "209715200", "memory.memsw.limit_in_bytes": "314572800", "memory.kmem.tcp.limit_in_bytes": "1048576", "memory.swappiness": "0",
	})
	c.holds(t, "cpu", map[string]string{"cpu.shares": "2"}) // the kernel's least
	c.holds(t, "pids", map[string]string{"pids.max": "500"})

	// A limit that isn't changed isn't written: an engine may have set it.
	writeFile(t, c.manager.Path("memory"), "memory.limit_in_bytes", "7")
	expect.Equal(t, "pids alone", c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 600}}), nil)
	c.holds(t, "memory", map[string]string{"memory.limit_in_bytes": "7"})
	c.holds(t, "pids", map[string]string{"pids.max": "600"})
	expect.Equal(t, "by version 2's names", errdefs.CodeOf(c.Update(&specs.LinuxResources{Unified: map[string]string{"memory.max": "1"}})), errdefs.CodeConfigInvalid)
	expect.Equal(t, "by none of them", c.Update(&specs.LinuxResources{Unified: map[string]string{}}), nil)
}

func TestLegacyStats(t *testing.T) {
	c := fakeLegacy(t, map[string]map[string]string{
		"memory":  legacyMemoryFiles(),
		"cpuacct": {"cpuacct.usage": "3000\n", "cpuacct.stat": "user 2\nsystem 1\n", "cpuacct.usage_percpu": "3000 \n"},
		"pids":    {"pids.current": "7\n", "pids.max": "max\n"},
	})
	s, err := c.Stats()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "statistics", s, Stats{
		CPUUsageNS: 3000, CPUUserNS: 20_000_000, CPUKernelNS: 10_000_000,
		MemoryUsage: 900, MemoryLimit: 1000, MemoryMax: 950, MemoryFailcnt: 3, PidsCurrent: 7, OOMKills: 2,
	})
	use, err := c.Memory()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "memory", use, MemoryUse{Used: 900, Limit: 1000})
}

// Somebody else's files, or a kernel's that says it in another way, are an error
// and nothing worse.
func TestDamagedStatistics(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "words": "much\n", "negative": "-5\n", "too large": "99999999999999999999\n"} {
		dir := fakeDir(t, "memory", legacyMemoryFiles())
		writeFile(t, dir, "memory.usage_in_bytes", text)
		if use, err := legacyMemory(dir).read(); err == nil {
			t.Errorf("%s: read as %+v", name, use)
		}
	}
	dir := fakeDir(t, "memory", map[string]string{"memory.usage_in_bytes": "5\n", "memory.stat": "total_inactive_file\n \ntotal_active_file x\nhierarchical_memory_limit -1\n"})
	use, err := legacyMemory(dir).read()
	expect.Equal(t, "lines that aren't numbers: error", err, nil)
	expect.Equal(t, "lines that aren't numbers", use, MemoryUse{Used: 5})
	writeFile(t, dir, "memory.oom_control", "oom_kill many\noom_kill\n")
	expect.Equal(t, "kills", ReadLimitHits([]string{dir}), LimitHits{})
}

func TestLimitsOfMountedControllers(t *testing.T) {
	all := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}, CPU: &specs.LinuxCPU{Shares: new(uint64), Cpus: "0"},
		HugepageLimits: []specs.LinuxHugepageLimit{{}}, Rdma: map[string]specs.LinuxRdma{"a": {}},
		Network: &specs.LinuxNetwork{ClassID: new(uint32), Priorities: []specs.LinuxInterfacePriority{{}}},
	}
	expect.Equal(t, "all", reflect.DeepEqual(ofMounted(all, func(string) bool { return true }), all), true)
	none := &specs.LinuxResources{CPU: &specs.LinuxCPU{}, Network: &specs.LinuxNetwork{}}
	expect.Equal(t, "none", reflect.DeepEqual(ofMounted(all, func(string) bool { return false }), none), true)
	cpus := ofMounted(all, func(c string) bool { return c == "cpuset" })
	expect.Equal(t, "cpuset alone", *cpus.CPU, specs.LinuxCPU{Cpus: "0"})
	expect.Equal(t, "the original", all.CPU.Shares != nil && all.Memory != nil, true)
}
