package agent

import (
	"errors"
	"time"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

var (
	errNoKernel   = errors.New("the program hasn't started")
	errFailing    = errors.New("the sandbox is stopped at a failure")
	errNotFailing = errors.New("the sandbox isn't stopped at a failure")
)

// FailOnTask implements detect.Sandbox.
func (a *Agent) FailOnTask(f detect.Look) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lookLocked(f)
}

// FailOffTask implements detect.Sandbox.
func (a *Agent) FailOffTask(f detect.Look) {
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lookLocked(f)
}

// lookLocked begins the failure that f finds.
//
// Preconditions: as for beginFailureLocked.
func (a *Agent) lookLocked(f detect.Look) {
	if a.k == nil || a.failing {
		return
	}
	on := detect.Causes{Report: a.opts.Report, Signal: a.opts.Signal}
	if state, failed := f(a.k, on); failed {
		a.beginFailureLocked(a.k, state)
	}
}

// beginFailureLocked stops every task at once and has f reported when they
// have stopped. Of failures that come together the first is reported; the
// others are parked with it and get the same decision.
//
// Preconditions: a.mu is locked. The caller is a task, or holds a.saveMu.
func (a *Agent) beginFailureLocked(k *kernel.Kernel, f failure.State) {
	if a.failing {
		return
	}
	a.failing = true
	f.Time = time.Now()
	a.network.HoldForCopy()
	k.TaskSet().BeginExternalStop()
	go a.reportFailure(k, f)
}

// reportFailure waits until every task has stopped, silences the network and
// tells the supervisor.
func (a *Agent) reportFailure(k *kernel.Kernel, f failure.State) {
	k.Pause() // beside the stop that is in force, to wait for the tasks
	a.mu.Lock()
	if a.failing {
		a.network.Silence()
	}
	a.mu.Unlock()
	k.Unpause()
	a.send(wire.Message{Failure: &f})
}

// fail serves VerbFail: a failure that the supervisor asks for. Its key is
// derived as that of a reported one.
func (a *Agent) fail(f failure.State) *wire.Error {
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	if a.failing {
		return wireError(wire.CodeFailing, errFailing)
	}
	if f.Key == 0 {
		f.Key = failure.KeyOfReport(f.Code, []byte(f.Message), f.Program)
	}
	a.beginFailureLocked(a.k, f)
	return nil
}

// refuse serves VerbRefuse, which lets a failure take its course: parked reports
// fail, parked exits exit, and a task that is dying of a signal dies.
func (a *Agent) refuse() *wire.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.failing {
		return wireError(wire.CodeState, errNotFailing)
	}
	a.parked.refuse()
	a.failing = false
	a.network.Reopen()
	a.k.Unpause()
	return nil
}
