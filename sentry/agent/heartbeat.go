package agent

import (
	"time"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// minHeartbeat is the shortest timeout that is kept as asked; shorter ones
// would make a busy host look like a hang.
const minHeartbeat = 10 * time.Millisecond

// heartbeat is an armed heartbeat of one process, guarded by Agent.mu.
type heartbeat struct {
	timeout time.Duration
	timer   *time.Timer
}

// setHeartbeat serves RECOVER_HEARTBEAT: it rearms the process's heartbeat, or
// disarms it for 0.
func (a *Agent) setHeartbeat(pid kernel.ThreadID, timeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if timeout == 0 {
		a.disarmLocked(pid)
		return
	}
	a.armLocked(pid, max(timeout, minHeartbeat))
}

func (a *Agent) disarmLocked(pid kernel.ThreadID) {
	if h := a.heartbeats[pid]; h != nil && h.timer != nil {
		h.timer.Stop()
	}
	delete(a.heartbeats, pid)
}

func (a *Agent) armLocked(pid kernel.ThreadID, timeout time.Duration) {
	a.disarmLocked(pid)
	h := &heartbeat{timeout: timeout}
	h.timer = time.AfterFunc(timeout, func() { a.heartbeatMissed(pid, h) })
	a.heartbeats[pid] = h
}

// heartbeatMissed begins a failure of kind hang. A program that arms a
// heartbeat reports on itself, so it counts as a report.
func (a *Agent) heartbeatMissed(pid kernel.ThreadID, h *heartbeat) {
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.heartbeats[pid] != h || a.k == nil || a.failing {
		return
	}
	tg := a.k.RootPIDNamespace().ThreadGroupWithID(pid)
	if tg == nil || !a.opts.Report {
		delete(a.heartbeats, pid)
		return
	}
	if a.k.IsPaused() {
		a.armLocked(pid, h.timeout)
		return
	}
	delete(a.heartbeats, pid)
	program := programOf(tg.Leader())
	a.beginFailureLocked(a.k, failure.State{
		Kind: failure.Hang, PID: int32(pid), TID: int32(pid),
		Program: program, Key: failure.KeyOfHang(program),
	})
}
