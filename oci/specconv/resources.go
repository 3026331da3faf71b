package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// minPids is the lowest limit of host processes and threads that a container
// gets: gVisor's and the supervisor's own are counted, up to about 130 while a
// copy stands beside the failed sandbox, and below it starts and recoveries
// would fail at random.
const minPids = 160

// Enforceable returns a copy of res with the limits alone that a container's cgroup
// is to enforce. Engines write 0 for limits that they don't set, as runc reads it.
// Devices concern the program and not the sandbox, which needs some that the
// program never sees.
func Enforceable(res *specs.LinuxResources) *specs.LinuxResources {
	if res == nil {
		return &specs.LinuxResources{}
	}
	out := *res
	out.Devices = nil
	if res.CPU != nil {
		out.CPU = enforceableCPU(*res.CPU)
	}
	if res.Memory != nil {
		out.Memory = enforceableMemory(*res.Memory)
	}
	if res.BlockIO != nil {
		out.BlockIO = enforceableBlockIO(*res.BlockIO)
	}
	switch p := res.Pids; {
	case p == nil:
	case p.Limit == 0:
		out.Pids = nil
	case p.Limit > 0:
		out.Pids = &specs.LinuxPids{Limit: max(p.Limit, minPids)}
	}
	return &out
}

func enforceableCPU(c specs.LinuxCPU) *specs.LinuxCPU {
	c.Shares = unlessZero(c.Shares)
	c.Period = unlessZero(c.Period)
	c.Quota = unlessZero(c.Quota)
	c.RealtimePeriod = unlessZero(c.RealtimePeriod)
	c.RealtimeRuntime = unlessZero(c.RealtimeRuntime)
	return &c
}

func enforceableMemory(m specs.LinuxMemory) *specs.LinuxMemory {
	m.Limit = unlessZero(m.Limit)
	m.Swap = unlessZero(m.Swap)
	m.Reservation = unlessZero(m.Reservation)
	m.KernelTCP = unlessZero(m.KernelTCP)
	//lint:ignore SA1019 kernels have dropped it, as runc has
	m.Kernel = nil
	if m.DisableOOMKiller != nil && !*m.DisableOOMKiller {
		m.DisableOOMKiller = nil
	}
	return &m
}

func enforceableBlockIO(b specs.LinuxBlockIO) *specs.LinuxBlockIO {
	b.Weight = unlessZero(b.Weight)
	b.LeafWeight = unlessZero(b.LeafWeight)
	return &b
}

// unlessZero returns p, or nil when p points to zero.
func unlessZero[T comparable](p *T) *T {
	var zero T
	if p == nil || *p == zero {
		return nil
	}
	return p
}
