package lifecycle

import (
	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
)

// handle hands an event to its handler.
func (l *Lifecycle) handle(e event.Event) {
	switch e := e.(type) {
	case event.Opened:
		l.opened(e)
	case event.ShutdownAsked:
		l.recover(recovery.Shutdown{Status: e.Status})
	case event.TimerFired:
		l.timerFired(e)
	case event.RequestDropped:
		l.dropRequest(e.Request)
	case event.CheckpointForgotten:
		l.forgetCheckpoints([]checkpoint.Seq{e.Seq})
	case event.StartAsked, event.SignalAsked, event.ForegroundAsked, event.PauseAsked, event.FailAsked,
		event.CheckpointAsked, event.SandboxAsked, event.Looked, event.MemoryLimitChanged:
		l.asked(e)
	case event.Failed, event.CheckpointRequested, event.Resolved, event.Exited, event.DamageFound, event.Closed:
		l.reported(e)
	case event.Booted, event.Restored, event.PagesLoaded, event.Released, event.Restarted, event.Destroyed,
		event.Refused, event.FailureCaused, event.StartPrepared, event.ProgramStarted, event.NetworkRead,
		event.SignalSent, event.PauseChanged, event.MemorySet, event.OOMKillsRead:
		l.answered(e)
	case event.CheckpointTaken, event.CheckpointsRemoved, event.StoreCompacted, event.UsageRead, event.MemoryRead, event.MemorySeen:
		l.plan(scheduleEvent(e))
	case event.StandbyWeighed:
		l.reconcile(standby.Weighed{Generation: e.Generation, Use: e.Use, Measured: e.Measured, Err: e.Err.AsError()})
	}
}

// asked takes a command's request.
func (l *Lifecycle) asked(e event.Event) {
	switch e := e.(type) {
	case event.StartAsked:
		l.startAsked(e)
	case event.SignalAsked:
		l.signalAsked(e)
	case event.ForegroundAsked:
		l.await(request{id: e.Request, event: e})
	case event.PauseAsked:
		l.pauseAsked(e)
	case event.FailAsked:
		l.await(request{id: e.Request, event: e})
	case event.CheckpointAsked:
		l.checkpointAsked(e)
	case event.SandboxAsked:
		l.await(request{id: e.Request, event: e, after: e.After})
	case event.Looked:
		l.reply(action.Reply{Request: e.Request, View: true})
	case event.MemoryLimitChanged:
		l.memoryLimitChanged(e)
	}
}

// reported takes a sandbox's report.
func (l *Lifecycle) reported(e event.Event) {
	switch e := e.(type) {
	case event.Failed:
		l.fromSandbox(e.Generation, e)
	case event.CheckpointRequested:
		l.fromSandbox(e.Generation, e)
	case event.Resolved:
		l.fromSandbox(e.Generation, e)
	case event.Exited:
		l.fromSandbox(e.Generation, e)
	case event.DamageFound:
		l.fromSandbox(e.Generation, e)
	case event.Closed:
		l.closed(e.Generation)
	}
}

// answered takes the answer to an action on a sandbox.
func (l *Lifecycle) answered(e event.Event) {
	switch e := e.(type) {
	case event.Booted:
		l.booted(e)
	case event.Restored:
		l.restored(e)
	case event.PagesLoaded:
		l.reconcile(standby.PagesLoaded{Generation: e.Generation, Work: e.Work})
	case event.Released:
		l.released(e)
	case event.Restarted:
		l.restarted(e)
	case event.Destroyed:
		l.destroyed(e)
	case event.Refused:
		l.refused(e)
	case event.FailureCaused:
		l.failureCaused(e)
	case event.StartPrepared:
		l.startPrepared(e)
	case event.ProgramStarted:
		l.programStarted(e)
	case event.NetworkRead:
		l.networkRead(e)
	case event.SignalSent:
		l.signalSent(e)
	case event.PauseChanged:
		l.pauseChanged(e)
	case event.MemorySet:
		l.reply(action.Reply{Request: e.Request})
	case event.OOMKillsRead:
		l.oomKillsRead(e)
	}
}

// scheduleEvent is an answer in the schedule's words.
func scheduleEvent(e event.Event) schedule.Event {
	switch e := e.(type) {
	case event.CheckpointTaken:
		return schedule.Taken{Manifest: e.Manifest, StoppedAt: e.StoppedAt, Err: e.Err.AsError()}
	case event.CheckpointsRemoved:
		return schedule.Removed{For: e.For, Seqs: e.Seqs, Failed: e.Failed}
	case event.StoreCompacted:
		return schedule.Compacted{For: e.For, Err: e.Err.AsError()}
	case event.UsageRead:
		return schedule.UsageRead{Usage: e.Usage, Err: e.Err.AsError()}
	case event.MemoryRead:
		return schedule.MemoryRead{Use: e.Use, Err: e.Err.AsError()}
	case event.MemorySeen:
		return schedule.MemorySeen{Use: e.Use, Err: e.Err.AsError(), At: e.At}
	}
	return nil
}

// timerFired hands a timer's end to its owner.
func (l *Lifecycle) timerFired(e event.TimerFired) {
	switch e.Timer {
	case event.TimerProbation:
		l.recover(recovery.Tick{RunTime: l.clock.read(l.now)})
	case event.TimerCheckpoint:
		l.plan(schedule.Due{})
	case event.TimerStandby:
		l.reconcile(standby.Retry{})
	case event.TimerSettle:
		l.settled()
	case event.TimerKill:
		l.killOverdue(e.Generation)
	case event.TimerRetry:
		l.retryRequests()
	}
}
