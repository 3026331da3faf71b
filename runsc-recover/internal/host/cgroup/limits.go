package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"runsc-recover/oci/errdefs"
)

// LimitHits says how often the kernel enforced the limits of a cgroup.
type LimitHits struct {
	OOMKills     uint64 // processes killed for want of memory
	RefusedForks uint64 // processes and threads that the pids limit didn't let begin
}

// ReadLimitHits reads the counters of a container's cgroup, of either version,
// from its host directories. Those that aren't there count as 0.
func ReadLimitHits(dirs []string) LimitHits {
	var h LimitHits
	for _, d := range dirs {
		h.OOMKills = max(h.OOMKills, counter(d, "memory.events", "oom_kill"), counter(d, "memory.oom_control", "oom_kill"))
		h.RefusedForks = max(h.RefusedForks, counter(d, "pids.events", "max"))
	}
	return h
}

// Populated returns the number of processes in a cgroup, by its host directories.
func Populated(dirs []string) (n int) {
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		if err == nil {
			n = max(n, strings.Count(string(b), "\n"))
		}
	}
	return n
}

// Frozen reports whether a cgroup stops the processes that join it, by its host
// directories.
func Frozen(dirs []string) bool {
	for _, d := range dirs {
		for file, state := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			if b, err := os.ReadFile(filepath.Join(d, file)); err == nil && strings.TrimSpace(string(b)) != state {
				return true
			}
		}
	}
	return false
}

// counter reads the line "name value" of a cgroup's file.
func counter(dir, file, name string) uint64 {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}

// Explain adds to the error of a creation or start that the container's limits
// are the reason, when they are: the error itself only tells of a death.
func (h LimitHits) Explain(err error) error {
	if err == nil || h == (LimitHits{}) {
		return err
	}
	e := &errdefs.Error{Code: errdefs.CodeLimit, Err: err}
	if h.OOMKills > 0 {
		e.Message = fmt.Sprintf("memory limit is too small: the kernel killed %d of the container's processes: %v", h.OOMKills, err)
		e.Next = "raise linux.resources.memory.limit; gVisor and the supervisor need about 24 MiB for themselves"
		return e
	}
	e.Message = fmt.Sprintf("pids limit is too small: the kernel refused %d of the container's threads: %v", h.RefusedForks, err)
	e.Next = "raise linux.resources.pids.limit; gVisor's and the supervisor's threads are counted"
	return e
}
