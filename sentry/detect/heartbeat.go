package detect

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// minHeartbeat is the shortest timeout that is kept as asked: a shorter one
// would make a busy host look like a hang.
const minHeartbeat = 10 * time.Millisecond

// Heartbeats are the armed heartbeats of a sandbox's processes. Their timeouts
// are part of a checkpoint, their clocks aren't.
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

// NewHeartbeats returns no armed heartbeats. A missed one is a failure of s.
func NewHeartbeats(s Sandbox) *Heartbeats {
	return &Heartbeats{sandbox: s, armed: make(map[kernel.ThreadID]*heartbeat)}
}

// Set starts a process's heartbeat anew, or disarms it for 0.
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

// Restore takes over the timeouts of a checkpoint. Their clocks stand still
// until Resume.
func (h *Heartbeats) Restore(timeouts map[kernel.ThreadID]time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, timeout := range timeouts {
		h.armed[pid] = &heartbeat{timeout: timeout}
	}
}

// Resume starts all clocks anew.
//
// Preconditions: the program stands still.
func (h *Heartbeats) Resume() {
	timeouts := h.Timeouts()
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, timeout := range timeouts {
		h.armLocked(pid, timeout)
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

// missed returns the failure of a process whose heartbeat didn't come, if it is
// one. A program that arms a heartbeat reports on itself, so a missed heartbeat
// counts as a report.
func (h *Heartbeats) missed(k *kernel.Kernel, on Causes, pid kernel.ThreadID, b *heartbeat) (failure.State, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.armed[pid] != b {
		return failure.State{}, false
	}
	tg := k.RootPIDNamespace().ThreadGroupWithID(pid)
	switch judge(tg != nil, on.Report, k.IsPaused()) {
	case wait:
		h.armLocked(pid, b.timeout)
		return failure.State{}, false
	case forget:
		delete(h.armed, pid)
		return failure.State{}, false
	}
	delete(h.armed, pid)
	program := programOf(tg.Leader())
	return failure.State{
		Kind: failure.Hang, PID: int32(pid), TID: int32(pid),
		Program: program, Key: failure.KeyOfHang(program),
	}, true
}

// verdict is the consequence of a heartbeat that didn't come in time.
type verdict int

// The verdicts.
const (
	hang   verdict = iota // the process hangs
	wait                  // the process has another timeout's time
	forget                // there is no heartbeat to wait for
)

// judge decides on a heartbeat that didn't come in time: alive is whether its
// process is there, wanted whether reports are failures, and paused whether the
// program stands still, by a pause that an operator asked for.
func judge(alive, wanted, paused bool) verdict {
	switch {
	case !alive || !wanted:
		return forget
	case paused:
		return wait
	}
	return hang
}
