package agent

import (
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/kernel"
)

// parkedKind is the system call that a task is parked in.
type parkedKind int

// The kinds.
const (
	parkedReport     parkedKind = iota + 1 // RECOVER_FAIL
	parkedExit                             // exit, exit_group
	parkedCheckpoint                       // RECOVER_CHECKPOINT
)

// decision is the outcome of a parked system call.
type decision struct {
	value int
	err   error
}

// callSite tells a system call that is restarted from a later call of a program
// that left the first by longjmp.
type callSite struct {
	SP uint64 `json:"sp"`
	IP uint64 `json:"ip"`
}

// siteOf returns the site of the system call that t is in.
//
// Preconditions: the caller runs on t's goroutine.
func siteOf(t *kernel.Task) callSite {
	return callSite{SP: uint64(t.Arch().Stack()), IP: uint64(t.Arch().IP())}
}

// parkedCall is a system call that waits for a decision.
type parkedCall struct {
	kind parkedKind
	site callSite
	// decided is closed once result is set.
	decided chan struct{}
	result  *decision
}

func newParkedCall(kind parkedKind, site callSite) *parkedCall {
	return &parkedCall{kind: kind, site: site, decided: make(chan struct{})}
}

// decide sets the outcome, unless there is one.
func (p *parkedCall) decide(d decision) {
	if p.result == nil {
		p.result = &d
		close(p.decided)
	}
}

// parkedCalls are the parked system calls, by thread id in the root PID
// namespace. They are guarded by Agent.mu.
type parkedCalls map[kernel.ThreadID]*parkedCall

// park parks a call, or finds it parked and restarted.
func (ps parkedCalls) park(tid kernel.ThreadID, kind parkedKind, site callSite) (p *parkedCall, again bool) {
	if p := ps[tid]; p != nil && p.kind == kind && p.site == site {
		return p, true
	}
	p = newParkedCall(kind, site)
	ps[tid] = p
	return p, false
}

// take returns and forgets the decision on a call, if there is one.
func (ps parkedCalls) take(tid kernel.ThreadID, kind parkedKind, site callSite) (decision, bool) {
	p := ps[tid]
	if p == nil || p.kind != kind || p.site != site || p.result == nil {
		return decision{}, false
	}
	delete(ps, tid)
	return *p.result, true
}

// decide decides a call of the given kind; nothing is parked where a program
// left its call.
func (ps parkedCalls) decide(tid kernel.ThreadID, kind parkedKind, d decision) {
	if p := ps[tid]; p != nil && p.kind == kind {
		p.decide(d)
	}
}

// release decides all calls in a copy that is released: they return the
// attempt.
func (ps parkedCalls) release(attempt int) {
	for _, p := range ps {
		p.decide(decision{value: attempt})
	}
}

// refuse decides the calls of a failure that is refused: reports fail, exits go
// on, and calls for a checkpoint wait on.
func (ps parkedCalls) refuse() {
	for _, p := range ps {
		switch p.kind {
		case parkedReport:
			p.decide(decision{err: unix.ENOTRECOVERABLE})
		case parkedExit:
			p.decide(decision{})
		}
	}
}

// atCheckpoint returns the threads that wait in RECOVER_CHECKPOINT, or are about
// to return from it.
func (ps parkedCalls) atCheckpoint() (tids []kernel.ThreadID) {
	for tid, p := range ps {
		if p.kind == parkedCheckpoint {
			tids = append(tids, tid)
		}
	}
	return tids
}

// undecided returns the calls for a checkpoint that wait, for a checkpoint.
func (ps parkedCalls) undecided() map[kernel.ThreadID]callSite {
	m := make(map[kernel.ThreadID]callSite)
	for tid, p := range ps {
		if p.kind == parkedCheckpoint && p.result == nil {
			m[tid] = p.site
		}
	}
	return m
}

// restore parks the calls that undecided returned.
func (ps parkedCalls) restore(waiting map[kernel.ThreadID]callSite) {
	for tid, site := range waiting {
		ps[tid] = newParkedCall(parkedCheckpoint, site)
	}
}

// dropGone forgets the calls of threads that ended.
func (ps parkedCalls) dropGone(alive func(kernel.ThreadID) bool) {
	for tid := range ps {
		if !alive(tid) {
			delete(ps, tid)
		}
	}
}
