package agent

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// attachment is a process that called RECOVER_ATTACH. It is saved with a
// checkpoint.
type attachment struct {
	Signo    uint32          `json:"signo"`         // 0: the container's default
	TID      kernel.ThreadID `json:"tid,omitempty"` // 0: to the process
	MaxLevel uint32          `json:"max_level"`     // 0: no limit
}

// clamp returns the level that a process is told.
func (at attachment) clamp(level uint32) uint32 {
	if at.MaxLevel != 0 && level > at.MaxLevel {
		return at.MaxLevel
	}
	return level
}

// firstPID is the container's first process in the root PID namespace.
const firstPID kernel.ThreadID = 1

// maxAttached bounds what a program that forks and attaches can make us keep;
// processes that are gone are dropped first.
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

// dropGoneLocked forgets what belongs to processes and tasks that ended.
func (a *Agent) dropGoneLocked(k *kernel.Kernel) {
	ns := k.RootPIDNamespace()
	for pid := range a.attached {
		if ns.ThreadGroupWithID(pid) == nil {
			delete(a.attached, pid)
		}
	}
	for tid := range a.parked {
		if ns.TaskWithID(tid) == nil {
			delete(a.parked, tid)
		}
	}
}

// release delivers the failure interrupt of info, if there is one, and opens
// the gate.
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
	for _, p := range a.parked {
		p.decideLocked(decision{value: attempt})
	}
	a.heartbeats.Resume()
	a.gate.Open()
	return nil
}

// interruptLocked queues the failure interrupt for every attached process, or
// where there is none, for the first process.
func (a *Agent) interruptLocked(level uint32) {
	ns := a.k.RootPIDNamespace()
	a.dropGoneLocked(a.k)
	if len(a.attached) == 0 {
		if first := ns.ThreadGroupWithID(firstPID); first != nil && a.handles(first) {
			a.interruptOneLocked(first, attachment{}, level)
		}
		return
	}
	for pid, at := range a.attached {
		a.interruptOneLocked(ns.ThreadGroupWithID(pid), at, level)
	}
}

// handles reports whether tg has a handler for the container's interrupt. That
// it is blocked says nothing of a process that didn't attach: libraries block
// every signal for a moment, around a fork for one.
func (a *Agent) handles(tg *kernel.ThreadGroup) bool {
	act, err := tg.SetSigAction(linux.Signal(a.opts.Interrupt), nil)
	return err == nil && act.Handler != linux.SIG_DFL && act.Handler != linux.SIG_IGN
}

func (a *Agent) interruptOneLocked(tg *kernel.ThreadGroup, at attachment, level uint32) {
	sig := linux.Signal(a.opts.Interrupt)
	if at.Signo != 0 {
		sig = linux.Signal(at.Signo)
	}
	t := a.receiverLocked(tg, at, sig)
	if !expects(tg, t, sig) {
		return
	}
	info := &linux.SignalInfo{Signo: int32(sig), Code: linux.SI_QUEUE}
	info.SetSigval(uint64(at.clamp(level)))
	if err := a.sendSignal(tg, t, info); err != nil {
		log.Warningf("recover: interrupting process %d: %v", tg.ID(), err)
	}
}

// receiverLocked returns the thread of tg that is told: the one that attached
// for itself, else one that waits in RECOVER_CHECKPOINT, as it is about to run
// into the failure again, else the first. Nil leaves the choice to the kernel,
// where that one blocks sig; of several that don't it could take one that runs
// the handler while another already goes on.
func (a *Agent) receiverLocked(tg *kernel.ThreadGroup, at attachment, sig linux.Signal) *kernel.Task {
	ns := a.k.RootPIDNamespace()
	if t := ns.TaskWithID(at.TID); at.TID != 0 && t != nil && t.ThreadGroup() == tg {
		return t
	}
	chosen := tg.Leader()
	for tid, p := range a.parked {
		if t := ns.TaskWithID(tid); p.kind == parkedCheckpoint && t != nil && t.ThreadGroup() == tg {
			chosen = t
		}
	}
	if blocked(tg, chosen, sig) {
		return nil
	}
	return chosen
}

func (a *Agent) sendSignal(tg *kernel.ThreadGroup, t *kernel.Task, info *linux.SignalInfo) error {
	if t == nil {
		return a.k.SendExternalSignalThreadGroup(tg, info)
	}
	if err := t.SendSignal(info); err != nil {
		return fmt.Errorf("signal thread %d: %w", t.ThreadID(), err)
	}
	return nil
}

// expects reports whether sig can reach tg without killing it: it has a
// handler, or keeps the signal blocked to take it by sigwait or signalfd.
func expects(tg *kernel.ThreadGroup, t *kernel.Task, sig linux.Signal) bool {
	act, err := tg.SetSigAction(sig, nil)
	if err != nil {
		return false
	}
	switch act.Handler {
	case linux.SIG_IGN:
		return false
	case linux.SIG_DFL:
		return blocked(tg, t, sig)
	}
	return true
}

// blocked reports whether t, or where t is nil every thread of tg, blocks sig.
func blocked(tg *kernel.ThreadGroup, t *kernel.Task, sig linux.Signal) bool {
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
