// Package cgroup is the container's control group, of version 1 or 2, systemd's
// or not: planned, made before any sandbox, joined by the supervisor, updated,
// read, and removed. opencontainers/cgroups does it, as for runc; this package
// chooses among its managers and keeps five things of its own:
//
//   - Removal works from the host directories and the scope's name in state.json,
//     without a manager, since commands clean up after supervisors that died. It
//     is bounded as a whole, where the library waits a second for each directory.
//   - Memory use is read from the memory controller's files alone: close to the
//     limit that happens a hundred times a second.
//   - In version 1, limits of a controller that isn't mounted are left out; the
//     library refuses them. Limits that aren't changed aren't written again.
//   - In version 1, the limit of memory for TCP is set, which the library ignores.
//   - Shares of a processor beyond the kernel's bounds are brought inside them, as
//     the kernel does, where the library refuses them afterwards.
//
// On a hybrid host the container is in a directory of the version 2 hierarchy
// too, as runc's are.
//
// It must not know sandboxes, checkpoints or the program. Directories below the
// cgroup belong to the container alone; a cgroup that holds processes of others
// stays.
//
// Locks: one per Cgroup, around the limits that were set; the library's own are
// taken under it. Goroutines: none.
package cgroup

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
)

const mountPoint = "/sys/fs/cgroup"

// Cgroup is a container's cgroup that its supervisor has joined. Methods are safe
// for concurrent use.
type Cgroup struct {
	manager cgroups.Manager
	dirs    []string
	memory  memoryFiles
	unified bool

	mu sync.Mutex
	// limits are all that have been set in version 2, guarded by mu.
	limits cgroups.Resources
}

// Update sets limits that have changed. In version 2 the others are set again:
// some mean something beside others alone, and systemd takes away those that it
// wasn't told of when its configuration is loaded again.
//
// Preconditions: res holds no limit that isn't the cgroup's to enforce (see
// specconv.Enforceable).
func (c *Cgroup) Update(res *specs.LinuxResources) error {
	if err := checkUnified(res, c.unified); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := newResources()
	if c.unified {
		changed = c.limits
	} else {
		res = ofMounted(res, mountedBy(c.manager))
	}
	addResources(&changed, res)
	if err := c.set(&changed, res); err != nil {
		return fmt.Errorf("set limits of cgroup: %w", err)
	}
	if c.unified {
		c.limits = changed
	}
	return nil
}

// set sets limits, which hold res, and the one limit of res that they can't hold.
func (c *Cgroup) set(limits *cgroups.Resources, res *specs.LinuxResources) error {
	if err := c.manager.Set(limits); err != nil {
		return err
	}
	if c.unified || res == nil || res.Memory == nil || res.Memory.KernelTCP == nil {
		return nil
	}
	return cgroups.WriteFile(c.manager.Path("memory"), "memory.kmem.tcp.limit_in_bytes", strconv.FormatInt(*res.Memory.KernelTCP, 10))
}

// Stats is the use of a cgroup, and its limits. Times are in nanoseconds, memory
// in bytes.
type Stats struct {
	CPUUsageNS    uint64
	MemoryUsage   uint64
	MemoryLimit   uint64
	PidsCurrent   uint64
	OOMKills      uint64 // processes killed for want of memory
	CPUUserNS     uint64
	CPUKernelNS   uint64
	PidsLimit     uint64
	MemoryMax     uint64 // the highest use so far
	MemoryFailcnt uint64 // how often the limit was hit
}

// Stats reads the cgroup's statistics.
func (c *Cgroup) Stats() (Stats, error) {
	s, err := c.manager.Stats(&cgroups.StatsOptions{Controllers: cgroups.CPU | cgroups.Memory | cgroups.Pids})
	if err != nil {
		return Stats{}, fmt.Errorf("read cgroup: %w", err)
	}
	cpu, memory := s.CpuStats.CpuUsage, s.MemoryStats.Usage
	return Stats{
		CPUUsageNS:    cpu.TotalUsage,
		CPUUserNS:     cpu.UsageInUsermode,
		CPUKernelNS:   cpu.UsageInKernelmode,
		MemoryUsage:   memory.Usage,
		MemoryLimit:   memory.Limit,
		MemoryMax:     memory.MaxUsage,
		MemoryFailcnt: memory.Failcnt,
		PidsCurrent:   s.PidsStats.Current,
		PidsLimit:     s.PidsStats.Limit,
		OOMKills:      c.OOMKills(),
	}, nil
}

// OOMKills counts the processes that the kernel has killed for want of memory.
func (c *Cgroup) OOMKills() uint64 { return ReadLimitHits(c.dirs).OOMKills }

// Memory reads the memory that the container uses. Errors: errNoMemoryController.
func (c *Cgroup) Memory() (MemoryUse, error) { return c.memory.read() }

// newResources returns resources without a limit. Devices concern the program
// and not the sandbox; and to set them systemd's manager of version 1 would
// freeze the cgroup, this process included.
func newResources() cgroups.Resources {
	return cgroups.Resources{SkipDevices: true, SkipFreezeOnSet: true}
}

// sortedDirs returns a manager's directories, each once: controllers may share a
// hierarchy.
func sortedDirs(m cgroups.Manager) []string {
	var dirs []string
	for _, d := range m.GetPaths() {
		dirs = append(dirs, d)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// silenceLibrary keeps the library's log off standard error, which is the
// program's, or that of a command that has errors of its own to report.
func silenceLibrary() { logrus.SetOutput(io.Discard) }
