package lifecycle

import (
	"errors"
	"fmt"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

const sigKill = 9

// opened begins the container: its first sandbox is made, and waits for Start.
func (l *Lifecycle) opened(e event.Opened) {
	l.open, l.cfg, l.bad = e, e.Config, e.Bad
	l.sandboxes, l.sending = make(map[int]*sandboxState), make(map[uint64]*delivery)
	var bad []checkpoint.Seq
	for _, b := range e.Bad {
		bad = append(bad, b.Seq)
	}
	l.schedule = schedule.Load(e.Kept, bad)
	l.schedule.Problem = e.Problem
	if e.Resume {
		l.recovery = recovery.Resume(e.Kept, e.Head)
		l.recovery.Episodes = e.Episodes
	}
	l.boot(action.Boot{First: true})
	if e.Limited && e.Config.Enabled {
		l.do(action.WatchMemory{})
	}
}

// boot makes the next generation.
func (l *Lifecycle) boot(b action.Boot) int {
	l.last++
	b.Generation = l.last
	l.sandboxes[l.last] = &sandboxState{}
	l.do(b)
	return l.last
}

// booted tells the owner of a sandbox that there is one, or why there is none.
func (l *Lifecycle) booted(e event.Booted) {
	sb := l.sandbox(e.Generation)
	sb.booted = true
	err := e.Err.AsError()
	switch {
	case err != nil:
		delete(l.sandboxes, e.Generation)
	case sb.doomed:
		l.destroy(e.Generation)
		return
	case sb.closed:
		l.destroy(e.Generation)
		err = sandbox.ErrGone
	}
	switch {
	case l.making.waitsWith(e.Generation):
		l.making.claimedBooted(err)
	case l.making != nil && l.making.generation == e.Generation:
		l.copyBooted(err)
	case l.afresh != nil && l.afresh.generation == e.Generation:
		l.afreshBooted(err)
	case l.current == 0 && e.Generation == 1:
		l.created(err)
	default:
		l.reconcile(standby.Booted{Generation: e.Generation, NotFenced: errors.Is(err, sandbox.ErrNotFenced), Err: err})
	}
}

// created answers the container's creation.
func (l *Lifecycle) created(err error) {
	if err == nil {
		l.current = 1
		l.admit(1)
	}
	l.reply(action.Reply{Request: l.open.Request, Err: fault.Of(err)})
}

// destroy removes a sandbox, as soon as it is made.
func (l *Lifecycle) destroy(generation int) {
	sb := l.sandboxes[generation]
	switch {
	case sb == nil || sb.destroying:
	case !sb.booted:
		sb.doomed = true
	default:
		sb.destroying = true
		l.do(action.Destroy{Generation: generation})
	}
}

func (l *Lifecycle) destroyed(e event.Destroyed) {
	sb := l.sandbox(e.Generation)
	if sb.admitted && !sb.ended {
		l.gone(e.Generation)
	}
	l.answerPauses(sb, sandbox.ErrGone)
	delete(l.sandboxes, e.Generation)
	switch {
	case l.making != nil && l.making.stage == clearing && l.making.generation == e.Generation:
		l.beginCopy()
	case l.afresh != nil && l.afresh.generation == e.Generation:
		l.bootAfresh()
	}
}

// settle destroys a sandbox once the copy that takes its place has had the
// processors for itself.
func (l *Lifecycle) settle(generation int) {
	l.settling = append(l.settling, generation)
	l.do(action.SetTimer{Timer: event.TimerSettle, After: settleTime})
}

func (l *Lifecycle) settled() {
	gone := l.settling
	l.settling = nil
	for _, generation := range gone {
		l.destroy(generation)
	}
	if !l.recovering() {
		l.reconcile(standby.Recovered{})
	}
}

// admit listens to a sandbox, which has become the container's running one.
func (l *Lifecycle) admit(generation int) {
	sb := l.sandbox(generation)
	sb.admitted = true
	early := sb.early
	sb.early, sb.earlyStop = nil, false
	for _, e := range early {
		l.fromSandbox(generation, e)
	}
	if sb.closed {
		l.gone(generation)
	}
}

// fromSandbox acts on a sandbox's report. A report is too late when its sandbox
// has been replaced, and waits while its sandbox isn't admitted.
func (l *Lifecycle) fromSandbox(generation int, e event.Event) {
	sb := l.sandbox(generation)
	if !sb.admitted {
		l.keepEarly(generation, sb, e)
		return
	}
	if generation != l.current || sb.ended {
		return
	}
	switch e := e.(type) {
	case event.Exited:
		l.exited(e)
		return
	case event.DamageFound:
		l.damaged(e)
		return
	}
	if sb.failing || !l.started || l.open.Resume && !l.begun {
		return // a program that is stopped, or not there yet, can't have said so
	}
	switch e := e.(type) {
	case event.Failed:
		l.failed(e)
	case event.CheckpointRequested:
		l.plan(schedule.ProgramAsked{Waiter: schedule.Waiter(uint32(e.TID))})
	case event.Resolved:
		l.recover(recovery.Resolved{})
	}
}

// keepEarly keeps a report until its sandbox is admitted. Of a sandbox that says too
// much, threads are turned away, as they are when too many wait for a checkpoint.
func (l *Lifecycle) keepEarly(generation int, sb *sandboxState, e event.Event) {
	room := maxEarly + earlyMargin
	switch e := e.(type) {
	case event.DamageFound:
		l.damagedEarly(generation, sb, e)
	case event.Exited:
	default:
		if sb.earlyStop {
			return // a stopped program can't have said so
		}
		if _, sb.earlyStop = e.(event.Failed); !sb.earlyStop {
			room = maxEarly
		}
	}
	if len(sb.early) < room {
		sb.early = append(sb.early, e)
	} else if r, ok := e.(event.CheckpointRequested); ok {
		l.do(action.AnswerProgram{Generation: generation, TIDs: []int32{r.TID}, Err: fault.Of(schedule.ErrOff)})
	}
}

func (l *Lifecycle) damagedEarly(generation int, sb *sandboxState, e event.DamageFound) {
	sb.damage = e.Err.AsError()
	if sb.holds.seq != 0 {
		l.reconcile(standby.Damaged{Generation: generation, Err: sb.damage})
	}
}

// closed notes that a sandbox is gone and has said its last.
func (l *Lifecycle) closed(generation int) {
	sb := l.sandboxes[generation]
	if sb == nil {
		return
	}
	sb.closed = true
	switch {
	case l.farewell != nil && l.farewell.Generation == generation:
		l.released(*l.farewell)
	case sb.admitted:
		l.gone(generation)
	default:
		l.reconcile(standby.Gone{Generation: generation, Err: sandbox.ErrGone})
	}
}

func (l *Lifecycle) gone(generation int) {
	l.fromSandbox(generation, event.Exited{Generation: generation, Crashed: true, Err: fault.Of(sandbox.ErrGone)})
}

// stopRunning notes that the current sandbox's program doesn't run any more.
func (l *Lifecycle) stopRunning() {
	l.clock.stop(l.now)
	l.plan(schedule.Stopped{})
}

// exited handles the end of the current sandbox, by its program's doing or by the
// sandbox's death.
func (l *Lifecycle) exited(e event.Exited) {
	l.sandbox(l.current).ended = true
	l.stopRunning()
	l.answerFailure(sandbox.ErrGone)
	l.do(action.InformEnded{Generation: l.current, Status: e.Status, Crashed: e.Crashed, Err: e.Err})
	switch {
	case !e.Crashed:
		l.recover(recovery.Exited{Status: e.Status})
	case !l.started:
		l.recover(recovery.Shutdown{Status: 128 + sigKill})
	case l.open.Resume && !l.begun: // startPrepared has it replaced
	case l.signals.stopping(l.now) && !l.recovering():
		l.recover(recovery.Exited{Status: 128 + sigKill})
	default:
		l.crashed()
	}
}

// crashed asks why the current sandbox died, where the host can tell. During a
// recovery the cause changes nothing.
func (l *Lifecycle) crashed() {
	if l.open.CountsOOM {
		l.do(action.ReadOOMKills{Generation: l.current})
	}
	if l.open.CountsOOM && !l.recovering() {
		l.died = l.current
		return
	}
	l.sandboxDied(false)
}

// oomKillsRead says whether the kernel has killed a process in the cgroup since
// the last death.
func (l *Lifecycle) oomKillsRead(e event.OOMKillsRead) {
	grown := e.Kills > l.oomKills
	l.oomKills = max(l.oomKills, e.Kills)
	if l.died == e.Generation && !l.over {
		l.died = 0
		l.sandboxDied(grown)
	}
}

func (l *Lifecycle) sandboxDied(outOfMemory bool) {
	l.noteDeath()
	l.recover(recovery.SandboxDied{OutOfMemory: outOfMemory, RunTime: l.clock.read(l.now), Now: l.now, Held: l.standby.Holds()})
}

// noteDeath prepares the record of a failure without a report, unless it is the
// death of a sandbox that had already failed.
func (l *Lifecycle) noteDeath() {
	if l.recovering() {
		return
	}
	l.noteFailure(failure.State{Message: "the sandbox died"})
}

func (l *Lifecycle) noteFailure(f failure.State) {
	l.failure, l.failedAt, l.stopTook = f, l.now, 0
}

// damaged handles the end of the current sandbox because the checkpoint that it
// was released from is damaged.
func (l *Lifecycle) damaged(e event.DamageFound) {
	sb := l.sandbox(l.current)
	if sb.holds.seq == 0 { // the sandbox ends all the same
		l.exited(event.Exited{Generation: e.Generation, Crashed: true, Err: e.Err})
		return
	}
	sb.ended = true
	l.stopRunning()
	l.answerFailure(sandbox.ErrGone)
	l.do(action.Warn{Text: fmt.Sprintf("checkpoint %d is damaged", sb.holds.seq), Err: e.Err})
	if l.recovery.Phase == recovery.Probation {
		l.failedAt, l.stopTook = l.now, 0 // of the failure that it was to avoid
	} else {
		l.noteDeath()
	}
	l.recover(recovery.CopyDamaged{
		Seq: sb.holds.seq, Reason: failure.Bound(e.Err.Error(), maxReason), RunTime: l.clock.read(l.now), Now: l.now,
	})
}
