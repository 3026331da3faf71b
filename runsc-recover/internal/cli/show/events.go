package show

import (
	"runsc-recover/runsc-recover/internal/api"
)

// Event is a line of events: runc's.
type Event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

// statsData are runc's names for the figures that there are.
type statsData struct {
	CPU struct {
		Usage struct {
			Total  uint64 `json:"total,omitempty"`
			Kernel uint64 `json:"kernel"`
			User   uint64 `json:"user"`
		} `json:"usage"`
		Throttling struct{} `json:"throttling"`
	} `json:"cpu"`
	Memory struct {
		Usage memoryEntry `json:"usage"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current,omitempty"`
		Limit   uint64 `json:"limit,omitempty"`
	} `json:"pids"`
	Blkio    struct{} `json:"blkio"`
	Hugetlb  struct{} `json:"hugetlb"`
	IntelRdt struct{} `json:"intel_rdt"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// Stats is the event with a container's figures.
func Stats(id string, s api.Stats) Event {
	var d statsData
	d.CPU.Usage.Total, d.CPU.Usage.Kernel, d.CPU.Usage.User = s.CPUUsageNS, s.CPUKernelNS, s.CPUUserNS
	d.Memory.Usage = memoryEntry{Limit: s.MemoryLimit, Usage: s.MemoryUsage, Max: s.MemoryMax, Failcnt: s.MemoryFailcnt}
	d.Pids.Current, d.Pids.Limit = s.PidsCurrent, s.PidsLimit
	return Event{Type: "stats", ID: id, Data: d}
}

// OOM is the event that the kernel has killed a process of the container for want
// of memory.
func OOM(id string) Event { return Event{Type: "oom", ID: id} }
