package agent

import (
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/detect"
)

// parkedKind is the system call that a task is parked in.
type parkedKind int

// The kinds.
const (
	parkedReport     parkedKind = iota + 1 // RECOVER_FAIL
	parkedExit                             // exit, exit_group
	parkedCheckpoint                       // RECOVER_CHECKPOINT
)

// decision is what a parked system call returns once it is decided.
type decision struct {
	value int
	err   error
}

// parkedCall is a task that waits for a decision. It is guarded by Agent.mu.
type parkedCall struct {
	kind parkedKind
	// sp and ip tell the same call, restarted, from a later one of a program
	// that left the first by longjmp.
	sp, ip uint64
	// decided is closed with result set.
	decided chan struct{}
	result  *decision
}

func (p *parkedCall) decideLocked(d decision) {
	if p.result == nil {
		p.result = &d
		close(p.decided)
	}
}

func (p *parkedCall) is(t *kernel.Task, kind parkedKind) bool {
	return p.kind == kind && p.sp == uint64(t.Arch().Stack()) && p.ip == uint64(t.Arch().IP())
}

// parkLocked parks t, or finds it parked in the same call.
//
// Preconditions: a.mu is locked; the caller runs on t's goroutine.
func (a *Agent) parkLocked(t *kernel.Task, kind parkedKind) (p *parkedCall, again bool) {
	tid := detect.ThreadID(t)
	if p := a.parked[tid]; p != nil && p.is(t, kind) {
		return p, true
	}
	p = &parkedCall{
		kind:    kind,
		sp:      uint64(t.Arch().Stack()),
		ip:      uint64(t.Arch().IP()),
		decided: make(chan struct{}),
	}
	a.parked[tid] = p
	return p, false
}

// takeDecisionLocked returns and forgets the decision on the call that t is
// in, if there is one.
//
// Preconditions: a.mu is locked; the caller runs on t's goroutine.
func (a *Agent) takeDecisionLocked(t *kernel.Task, kind parkedKind) (decision, bool) {
	tid := detect.ThreadID(t)
	p := a.parked[tid]
	if p == nil || !p.is(t, kind) || p.result == nil {
		return decision{}, false
	}
	delete(a.parked, tid)
	return *p.result, true
}
