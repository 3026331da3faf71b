package cgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/specconv"
)

// legacyCgroup is one of cgroup v1, or of v1's controllers on a hybrid host.
type legacyCgroup struct {
	c     cgroup1.Cgroup
	files memoryFiles
}

// Update sets some limits ahead of the others where the kernel refuses the
// usual order.
func (c *legacyCgroup) Update(res *specs.LinuxResources) error {
	if err := checkUnified(res, cgroups.Legacy); err != nil {
		return err
	}
	res = specconv.Enforceable(res)
	err := c.c.Update(res)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	first := specconv.AheadOfOthers(res)
	if first == nil {
		return err
	}
	if err := c.c.Update(first); err != nil {
		return err
	}
	return c.c.Update(res)
}

func (c *legacyCgroup) Stats() (Stats, error) {
	m, err := c.c.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return Stats{}, fmt.Errorf("read cgroup: %w", err)
	}
	mem := m.GetMemory().GetUsage()
	return Stats{
		CPUUsageNS:    m.GetCPU().GetUsage().GetTotal(),
		CPUUserNS:     m.GetCPU().GetUsage().GetUser(),
		CPUKernelNS:   m.GetCPU().GetUsage().GetKernel(),
		MemoryUsage:   mem.GetUsage(),
		MemoryLimit:   mem.GetLimit(),
		MemoryMax:     mem.GetMax(),
		MemoryFailcnt: mem.GetFailcnt(),
		PidsCurrent:   m.GetPids().GetCurrent(),
		PidsLimit:     m.GetPids().GetLimit(),
		OOMKills:      m.GetMemoryOomControl().GetOomKill(),
	}, nil
}

func (c *legacyCgroup) Memory() (MemoryUse, error) { return c.files.read() }

// memoryDir is the cgroup's directory in the memory controller's hierarchy,
// empty where that isn't mounted.
func memoryDir(controllers []cgroup1.Subsystem, path string) string {
	for _, c := range controllers {
		if p, ok := c.(interface{ Path(string) string }); ok && c.Name() == cgroup1.Memory {
			return p.Path(path)
		}
	}
	return ""
}

func (p Plan) joinLegacy(ctx context.Context, res *specs.LinuxResources, pid int) (Cgroup, error) {
	if cgroups.Mode() == cgroups.Unavailable {
		return nil, fmt.Errorf("make cgroup %s: no cgroups are mounted at %s", p.path, mountPoint)
	}
	if p.Unit != "" {
		if err := startScope(ctx, p.slice, p.Unit, pid); err != nil {
			return nil, err
		}
	}
	c, err := cgroup1.New(cgroup1.StaticPath(p.path), specconv.Enforceable(res), cgroup1.WithHierarchy(mountedControllers))
	if err != nil {
		return nil, fmt.Errorf("make cgroup %s: %w", p.path, err)
	}
	if err := c.AddProc(uint64(pid)); err != nil {
		return nil, fmt.Errorf("join cgroup %s: %w", p.path, err)
	}
	return &legacyCgroup{c: c, files: legacyMemory(memoryDir(c.Subsystems(), p.path))}, nil
}

// mountedControllers are those of cgroup v1 whose directory is a cgroup's: a
// plain directory of the same name, which a program left in the tmpfs, would
// take the container's files and refuse to go.
func mountedControllers() ([]cgroup1.Subsystem, error) {
	all, err := cgroup1.Default()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s cgroup1.Subsystem) bool {
		p, ok := s.(interface{ Path(string) string })
		if !ok {
			return false
		}
		var st unix.Statfs_t
		return unix.Statfs(p.Path("/"), &st) != nil || st.Type != unix.CGROUP_SUPER_MAGIC
	}), nil
}
