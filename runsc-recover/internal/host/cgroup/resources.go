package cgroup

import (
	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The kernel's bounds of a cgroup's processor shares.
const (
	minShares = 2
	maxShares = 1 << 18
)

// addResources puts the limits of res into out, in the library's terms for both
// versions of cgroups, and leaves the rest of out as it is. It may be given nil.
func addResources(out *cgroups.Resources, res *specs.LinuxResources) {
	if res == nil {
		return
	}
	addMemory(out, res.Memory)
	addCPU(out, res.CPU)
	addBlockIO(out, res.BlockIO)
	addNetwork(out, res.Network)
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
	if len(res.Unified) > 0 { // version 1 has none, not even an empty one
		out.Unified = res.Unified
	}
}

func addMemory(out *cgroups.Resources, m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	set(&out.Memory, m.Limit)
	set(&out.MemorySwap, m.Swap)
	set(&out.MemoryReservation, m.Reservation)
	set(&out.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
	set(&out.OomKillDisable, m.DisableOOMKiller)
	if m.Swappiness != nil {
		out.MemorySwappiness = m.Swappiness
	}
}

func addCPU(out *cgroups.Resources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	if c.Shares != nil {
		out.CpuShares = min(max(*c.Shares, minShares), maxShares)
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(*c.Shares)
	}
	set(&out.CpuQuota, c.Quota)
	set(&out.CpuPeriod, c.Period)
	set(&out.CpuRtRuntime, c.RealtimeRuntime)
	set(&out.CpuRtPeriod, c.RealtimePeriod)
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

func addBlockIO(out *cgroups.Resources, b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	set(&out.BlkioWeight, b.Weight)
	set(&out.BlkioLeafWeight, b.LeafWeight)
	out.BlkioWeightDevice = weights(b.WeightDevice)
	out.BlkioThrottleReadBpsDevice = rates(b.ThrottleReadBpsDevice)
	out.BlkioThrottleWriteBpsDevice = rates(b.ThrottleWriteBpsDevice)
	out.BlkioThrottleReadIOPSDevice = rates(b.ThrottleReadIOPSDevice)
	out.BlkioThrottleWriteIOPSDevice = rates(b.ThrottleWriteIOPSDevice)
}

func addNetwork(out *cgroups.Resources, n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	set(&out.NetClsClassid, n.ClassID)
	if n.Priorities != nil {
		out.NetPrioIfpriomap = nil
	}
	for _, p := range n.Priorities {
		out.NetPrioIfpriomap = append(out.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
	}
}

// set sets a value that is given.
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

// mountedBy tells the controllers of version 1 that a manager has found.
func mountedBy(m cgroups.Manager) func(controller string) bool {
	return func(controller string) bool { return m.Path(controller) != "" }
}

// ofMounted returns a copy of res without the limits of version 1's controllers
// that aren't mounted. It may be given nil.
func ofMounted(res *specs.LinuxResources, mounted func(controller string) bool) *specs.LinuxResources {
	if res == nil {
		return nil
	}
	out := *res
	if !mounted("memory") {
		out.Memory = nil
	}
	if !mounted("pids") {
		out.Pids = nil
	}
	if !mounted("blkio") {
		out.BlockIO = nil
	}
	if !mounted("hugetlb") {
		out.HugepageLimits = nil
	}
	if !mounted("rdma") {
		out.Rdma = nil
	}
	out.CPU = cpuOfMounted(res.CPU, mounted)
	out.Network = networkOfMounted(res.Network, mounted)
	return &out
}

func cpuOfMounted(in *specs.LinuxCPU, mounted func(string) bool) *specs.LinuxCPU {
	if in == nil {
		return nil
	}
	out := *in
	if !mounted("cpu") {
		out = specs.LinuxCPU{Cpus: in.Cpus, Mems: in.Mems}
	}
	if !mounted("cpuset") {
		out.Cpus, out.Mems = "", ""
	}
	return &out
}

func networkOfMounted(in *specs.LinuxNetwork, mounted func(string) bool) *specs.LinuxNetwork {
	if in == nil {
		return nil
	}
	out := *in
	if !mounted("net_cls") {
		out.ClassID = nil
	}
	if !mounted("net_prio") {
		out.Priorities = nil
	}
	return &out
}
