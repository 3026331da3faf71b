package detect

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// minHeartbeat is the shortest timeout that is kept as asked; shorter ones
// would make a busy host look like a hang.
const minHeartbeat = 10 * time.Millisecond

// Heartbeats are the armed heartbeats of a sandbox's processes.
type Heartbeats struct {
	sandbox Sandbox

	mu sync.Mutex
	// armed is guarded by mu.
	armed map[kernel.ThreadID]*heartbeat
}

// heartbeat is an armed heartbeat of one process.
type heartbeat struct {
	timeout time.Duration
	timer   *time.Timer // nil in a held copy
}

func NewHeartbeats(s Sandbox) *Heartbeats {
	return &Heartbeats{sandbox: s, armed: make(map[kernel.ThreadID]*heartbeat)}
}

// Set rearms a process's heartbeat, or disarms it for 0.
func (h *Heartbeats) Set(pid kernel.ThreadID, timeout time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if timeout == 0 {
		h.disarmLocked(pid)
		return
	}
	h.armLocked(pid, max(timeout, minHeartbeat))
}

// Timeouts returns the armed heartbeats' timeouts, for a checkpoint.
func (h *Heartbeats) Timeouts() map[kernel.ThreadID]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := make(map[kernel.ThreadID]time.Duration, len(h.armed))
	for pid, b := range h.armed {
		m[pid] = b.timeout
	}
	return m
}

// Restore takes over the timeouts of a checkpoint, whose clocks stand still
// until resume.
func (h *Heartbeats) Restore(timeouts map[kernel.ThreadID]time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, timeout := range timeouts {
		h.armed[pid] = &heartbeat{timeout: timeout}
	}
}

// Resume starts all clocks anew.
func (h *Heartbeats) Resume() {
	for pid, timeout := range h.Timeouts() {
		h.mu.Lock()
		h.armLocked(pid, timeout)
		h.mu.Unlock()
	}
}

func (h *Heartbeats) disarmLocked(pid kernel.ThreadID) {
	if b := h.armed[pid]; b != nil && b.timer != nil {
		b.timer.Stop()
	}
	delete(h.armed, pid)
}

func (h *Heartbeats) armLocked(pid kernel.ThreadID, timeout time.Duration) {
	h.disarmLocked(pid)
	b := &heartbeat{timeout: timeout}
	b.timer = time.AfterFunc(timeout, func() {
		h.sandbox.FailOffTask(func(k *kernel.Kernel, on Causes) (failure.State, bool) {
			return h.missed(k, on, pid, b)
		})
	})
	h.armed[pid] = b
}

// missed returns the failure that a missed heartbeat is. A program that arms a
// heartbeat reports on itself, so that it counts as a report.
func (h *Heartbeats) missed(k *kernel.Kernel, on Causes, pid kernel.ThreadID, b *heartbeat) (failure.State, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.armed[pid] != b {
		return failure.State{}, false
	}
	tg := k.RootPIDNamespace().ThreadGroupWithID(pid)
	if tg == nil || !on.Report {
		delete(h.armed, pid)
		return failure.State{}, false
	}
	if k.IsPaused() {
		h.armLocked(pid, b.timeout)
		return failure.State{}, false
	}
	delete(h.armed, pid)
	program := programOf(tg.Leader())
	return failure.State{
		Kind: failure.Hang, PID: int32(pid), TID: int32(pid),
		Program: program, Key: failure.KeyOfHang(program),
	}, true
}
