package agent

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// firstPID is the container's first process in the root PID namespace.
const firstPID kernel.ThreadID = 1

// release serves VerbRelease: it delivers the failure interrupt of info, if
// there is one, and opens the gate.
func (a *Agent) release(info *failure.Info) *wire.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	a.info = info
	a.adoptNetworkLocked()
	a.network.Reopen()
	attempt := 0
	if info != nil {
		attempt = int(info.Attempt)
		a.interruptLocked(info.Level)
	}
	a.parked.release(attempt)
	a.heartbeats.Resume()
	a.gate.Open()
	return nil
}

// interruptLocked queues the failure interrupt for every attached process. Where
// there is none it queues it for the first process, if that handles it.
func (a *Agent) interruptLocked(level uint32) {
	ns := a.k.RootPIDNamespace()
	a.dropGoneLocked(a.k)
	if len(a.attached) == 0 {
		if first := ns.ThreadGroupWithID(firstPID); first != nil && a.handles(first) {
			a.interruptProcessLocked(first, attachment{}, level)
		}
		return
	}
	for pid, at := range a.attached {
		a.interruptProcessLocked(ns.ThreadGroupWithID(pid), at, level)
	}
}

// handles reports whether tg has a handler for the container's interrupt. That
// the signal is blocked means nothing in a process that didn't attach: libraries
// block every signal for a moment, around a fork for example.
func (a *Agent) handles(tg *kernel.ThreadGroup) bool {
	act, err := tg.SetSigAction(linux.Signal(a.opts.Interrupt), nil)
	return err == nil && act.Handler != linux.SIG_DFL && act.Handler != linux.SIG_IGN
}

func (a *Agent) interruptProcessLocked(tg *kernel.ThreadGroup, at attachment, level uint32) {
	sig := linux.Signal(a.opts.Interrupt)
	if at.Signo != 0 {
		sig = linux.Signal(at.Signo)
	}
	act, err := tg.SetSigAction(sig, nil)
	if err != nil {
		return
	}
	t := a.receiverLocked(tg, at, sig)
	if !survives(act.Handler, blocks(tg, t, sig)) {
		return
	}
	info := &linux.SignalInfo{Signo: int32(sig), Code: linux.SI_QUEUE}
	info.SetSigval(uint64(at.clamp(level)))
	if err := a.sendSignal(tg, t, info); err != nil {
		log.Warningf("recover: interrupt of process %d failed: %v", tg.ID(), err)
	}
}

// survives reports whether a process expects a signal, so that it isn't killed
// by it: it has a handler, or blocks the signal to take it by sigwait or
// signalfd. handler is the signal's action.
func survives(handler uint64, blocked bool) bool {
	switch handler {
	case linux.SIG_IGN:
		return false
	case linux.SIG_DFL:
		return blocked
	}
	return true
}

// receiverLocked returns the thread of tg that is interrupted: the one that
// attached for itself, else one that waits in RECOVER_CHECKPOINT, as it is about
// to run into the failure again, else the first. Nil, where that thread blocks
// sig, leaves the choice to the kernel: of several threads that don't block it
// the kernel could take one, and another would go on while its handler runs.
func (a *Agent) receiverLocked(tg *kernel.ThreadGroup, at attachment, sig linux.Signal) *kernel.Task {
	ns := a.k.RootPIDNamespace()
	if t := ns.TaskWithID(at.TID); at.TID != 0 && t != nil && t.ThreadGroup() == tg {
		return t
	}
	chosen := tg.Leader()
	for _, tid := range a.parked.atCheckpoint() {
		if t := ns.TaskWithID(tid); t != nil && t.ThreadGroup() == tg {
			chosen = t
		}
	}
	if blocks(tg, chosen, sig) {
		return nil
	}
	return chosen
}

// sendSignal sends a signal to t, or where t is nil to tg.
func (a *Agent) sendSignal(tg *kernel.ThreadGroup, t *kernel.Task, info *linux.SignalInfo) error {
	if t == nil {
		return a.k.SendExternalSignalThreadGroup(tg, info)
	}
	if err := t.SendSignal(info); err != nil {
		return fmt.Errorf("signal thread %d: %w", t.ThreadID(), err)
	}
	return nil
}

// blocks reports whether t, or where t is nil every thread of tg, blocks sig.
func blocks(tg *kernel.ThreadGroup, t *kernel.Task, sig linux.Signal) bool {
	set := linux.SignalSetOf(sig)
	if t != nil {
		return t.SignalMask()&set != 0
	}
	all := true
	tg.ForEachTask(func(t *kernel.Task) bool {
		all = t.SignalMask()&set != 0
		return all
	})
	return all
}
