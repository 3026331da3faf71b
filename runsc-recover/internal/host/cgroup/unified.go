package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/specconv"
)

// unifiedCgroup is one of cgroup v2, systemd's or not. systemd is told of all
// limits: those that it doesn't know of it takes away when its configuration
// is loaded again.
type unifiedCgroup struct {
	m   cgroups.Manager
	dir string

	mu sync.Mutex
	// res is all that has been set. It is guarded by mu.
	res cgroups.Resources
}

func (p Plan) joinUnified(res *specs.LinuxResources, pid int) (Cgroup, error) {
	c := &unifiedCgroup{dir: filepath.Join(mountPoint, p.path)}
	setResources(&c.res, specconv.Enforceable(res))
	if err := c.manage(p); err != nil {
		return nil, fmt.Errorf("plan cgroup %s: %w", p.path, err)
	}
	if err := c.m.Apply(pid); err != nil {
		return nil, fmt.Errorf("join cgroup %s: %w", p.path, err)
	}
	if err := c.m.Set(&c.res); err != nil {
		return nil, fmt.Errorf("set limits of cgroup %s: %w", p.path, err)
	}
	return c, nil
}

func (c *unifiedCgroup) manage(p Plan) (err error) {
	config := &cgroups.Cgroup{Resources: &c.res}
	if p.Unit == "" {
		c.m, err = fs2.NewManager(config, c.dir)
		return err
	}
	config.Parent = p.slice
	config.ScopePrefix, config.Name, _ = strings.Cut(strings.TrimSuffix(p.Unit, scopeSuffix), "-")
	c.m, err = systemd.NewUnifiedManager(config, c.dir)
	return err
}

func (c *unifiedCgroup) Update(res *specs.LinuxResources) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Some limits mean something beside others alone, set earlier.
	changed := c.res
	setResources(&changed, specconv.Enforceable(res))
	if err := c.m.Set(&changed); err != nil {
		return err
	}
	c.res = changed
	return nil
}

func (c *unifiedCgroup) Stats() (Stats, error) {
	s, err := c.m.Stats(&cgroups.StatsOptions{Controllers: cgroups.CPU | cgroups.Memory | cgroups.Pids})
	if err != nil {
		return Stats{}, fmt.Errorf("read cgroup: %w", err)
	}
	cpu, memory := s.CpuStats.CpuUsage, s.MemoryStats.Usage
	return Stats{
		CPUUsageNS:  cpu.TotalUsage,
		CPUUserNS:   cpu.UsageInUsermode,
		CPUKernelNS: cpu.UsageInKernelmode,
		MemoryUsage: memory.Usage,
		MemoryLimit: memory.Limit,
		MemoryMax:   memory.MaxUsage,
		PidsCurrent: s.PidsStats.Current,
		PidsLimit:   s.PidsStats.Limit,
		OOMKills:    ReadLimitHits([]string{c.dir}).OOMKills,
	}, nil
}

func (c *unifiedCgroup) Memory() (MemoryUse, error) { return unifiedMemory(c.dir).read() }

// tightestLimit is the lowest memory limit of a cgroup and those around it,
// below top.
func tightestLimit(dir, top string) uint64 {
	limit := uint64(math.MaxUint64)
	for ; len(dir) > len(top); dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "memory.max"))
		if err != nil {
			continue // its memory isn't controlled
		}
		// "max" is no number, and none.
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			limit = min(limit, n)
		}
	}
	return limit
}

// setResources puts what res says into out, in cgroup v2's terms, and leaves
// the rest of out as it is.
func setResources(out *cgroups.Resources, res *specs.LinuxResources) {
	setMemory(out, res.Memory)
	setCPU(out, res.CPU)
	if b := res.BlockIO; b != nil {
		set(&out.BlkioWeight, b.Weight)
		out.BlkioWeightDevice = weights(b.WeightDevice)
		out.BlkioThrottleReadBpsDevice = rates(b.ThrottleReadBpsDevice)
		out.BlkioThrottleWriteBpsDevice = rates(b.ThrottleWriteBpsDevice)
		out.BlkioThrottleReadIOPSDevice = rates(b.ThrottleReadIOPSDevice)
		out.BlkioThrottleWriteIOPSDevice = rates(b.ThrottleWriteIOPSDevice)
	}
	if p := res.Pids; p != nil {
		out.PidsLimit = &p.Limit
	}
	if res.HugepageLimits != nil {
		out.HugetlbLimit = nil
	}
	for _, h := range res.HugepageLimits {
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if res.Rdma != nil {
		out.Rdma = make(map[string]cgroups.LinuxRdma, len(res.Rdma))
	}
	for device, r := range res.Rdma {
		out.Rdma[device] = cgroups.LinuxRdma{HcaHandles: r.HcaHandles, HcaObjects: r.HcaObjects}
	}
	if res.Unified != nil {
		out.Unified = res.Unified
	}
}

func setMemory(out *cgroups.Resources, m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	set(&out.Memory, m.Limit)
	set(&out.MemorySwap, m.Swap)
	set(&out.MemoryReservation, m.Reservation)
	set(&out.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
}

func setCPU(out *cgroups.Resources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	if c.Shares != nil {
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(*c.Shares)
	}
	set(&out.CpuQuota, c.Quota)
	set(&out.CpuPeriod, c.Period)
	if c.Burst != nil {
		out.CpuBurst = c.Burst
	}
	if c.Idle != nil {
		out.CPUIdle = c.Idle
	}
	if c.Cpus != "" {
		out.CpusetCpus = c.Cpus
	}
	if c.Mems != "" {
		out.CpusetMems = c.Mems
	}
}

// set sets what is given.
func set[T any](out *T, given *T) {
	if given != nil {
		*out = *given
	}
}

func weights(devices []specs.LinuxWeightDevice) (out []*cgroups.WeightDevice) {
	for _, d := range devices {
		w := cgroups.NewWeightDevice(d.Major, d.Minor, 0, 0)
		set(&w.Weight, d.Weight)
		set(&w.LeafWeight, d.LeafWeight)
		out = append(out, w)
	}
	return out
}

func rates(devices []specs.LinuxThrottleDevice) (out []*cgroups.ThrottleDevice) {
	for _, d := range devices {
		out = append(out, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	return out
}
