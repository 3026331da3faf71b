package agent

import (
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/detect"
)

// attachment is the record of a process that called RECOVER_ATTACH. It is part
// of a checkpoint.
type attachment struct {
	Signo    uint32          `json:"signo"`         // 0: the container's default
	TID      kernel.ThreadID `json:"tid,omitempty"` // 0: to the process
	MaxLevel uint32          `json:"max_level"`     // 0: no limit
}

// clamp limits the level of an interrupt to the attachment's.
func (at attachment) clamp(level uint32) uint32 {
	if at.MaxLevel != 0 && level > at.MaxLevel {
		return at.MaxLevel
	}
	return level
}

// maxAttached is the number of attachments from which on those of processes
// that are gone are dropped, so that a program that forks and attaches can't
// make the agent keep them all.
const maxAttached = 4096

// attach serves RECOVER_ATTACH.
func (a *Agent) attach(t *kernel.Task, at abi.Attach) {
	rec := attachment{Signo: at.Signo, MaxLevel: at.MaxLevel}
	if at.ToThread {
		rec.TID = detect.ThreadID(t)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.attached) >= maxAttached {
		a.dropGoneLocked(t.Kernel())
	}
	a.attached[detect.ProcessID(t)] = rec
}

// dropGoneLocked forgets the attachments of processes, and the calls of tasks,
// that ended.
func (a *Agent) dropGoneLocked(k *kernel.Kernel) {
	ns := k.RootPIDNamespace()
	for pid := range a.attached {
		if ns.ThreadGroupWithID(pid) == nil {
			delete(a.attached, pid)
		}
	}
	a.parked.dropGone(func(tid kernel.ThreadID) bool { return ns.TaskWithID(tid) != nil })
}
