package lifecycle

import (
	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
)

// handle hands an event to its handler.
func (l *Lifecycle) handle(e Event) {
	switch e := e.(type) {
	case Opened:
		l.opened(e)
	case ShutdownAsked:
		l.recover(recovery.Shutdown{Status: e.Status})
	case TimerFired:
		l.timerFired(e)
	case RequestDropped:
		l.dropRequest(e.Request)
	case CheckpointForgotten:
		l.forgetCheckpoints([]checkpoint.Seq{e.Seq})
	case StartAsked, SignalAsked, ForegroundAsked, PauseAsked, FailAsked, CheckpointAsked, SandboxAsked, Looked, MemoryLimitChanged:
		l.asked(e)
	case Failed, CheckpointRequested, Resolved, Exited, DamageFound, Closed:
		l.reported(e)
	case Booted, Restored, PagesLoaded, Released, Restarted, Destroyed, Refused, FailureCaused, StartPrepared, ProgramStarted, NetworkRead,
		SignalSent, PauseChanged, MemorySet, OOMKillsRead:
		l.answered(e)
	case CheckpointTaken, CheckpointsRemoved, StoreCompacted, UsageRead, MemoryRead, MemorySeen:
		l.plan(scheduleEvent(e))
	case StandbyWeighed:
		l.tend(standby.Weighed{Generation: e.Generation, Use: e.Use, Measured: e.Measured, Err: e.Err.asError()})
	}
}

// asked takes a command's request.
func (l *Lifecycle) asked(e Event) {
	switch e := e.(type) {
	case StartAsked:
		l.startAsked(e)
	case SignalAsked:
		l.signalAsked(e)
	case ForegroundAsked:
		l.await(request{id: e.Request, event: e})
	case PauseAsked:
		l.pauseAsked(e)
	case FailAsked:
		l.await(request{id: e.Request, event: e})
	case CheckpointAsked:
		l.checkpointAsked(e)
	case SandboxAsked:
		l.await(request{id: e.Request, event: e, after: e.After})
	case Looked:
		l.reply(Reply{Request: e.Request, View: true})
	case MemoryLimitChanged:
		l.memoryLimitChanged(e)
	}
}

// reported takes a sandbox's report.
func (l *Lifecycle) reported(e Event) {
	switch e := e.(type) {
	case Failed:
		l.fromSandbox(e.Generation, e)
	case CheckpointRequested:
		l.fromSandbox(e.Generation, e)
	case Resolved:
		l.fromSandbox(e.Generation, e)
	case Exited:
		l.fromSandbox(e.Generation, e)
	case DamageFound:
		l.fromSandbox(e.Generation, e)
	case Closed:
		l.closed(e.Generation)
	}
}

// answered takes the answer to an action on a sandbox.
func (l *Lifecycle) answered(e Event) {
	switch e := e.(type) {
	case Booted:
		l.booted(e)
	case Restored:
		l.restored(e)
	case PagesLoaded:
		l.tend(standby.PagesLoaded{Generation: e.Generation, Work: e.Work})
	case Released:
		l.released(e)
	case Restarted:
		l.restarted(e)
	case Destroyed:
		l.destroyed(e)
	case Refused:
		l.refused(e)
	case FailureCaused:
		l.failureCaused(e)
	case StartPrepared:
		l.startPrepared(e)
	case ProgramStarted:
		l.programStarted(e)
	case NetworkRead:
		l.networkRead(e)
	case SignalSent:
		l.signalSent(e)
	case PauseChanged:
		l.pauseChanged(e)
	case MemorySet:
		l.reply(Reply{Request: e.Request})
	case OOMKillsRead:
		l.oomKillsRead(e)
	}
}

// scheduleEvent is an answer in the schedule's words.
func scheduleEvent(e Event) schedule.Event {
	switch e := e.(type) {
	case CheckpointTaken:
		return schedule.Taken{Manifest: e.Manifest, StoppedAt: e.StoppedAt, Err: e.Err.asError()}
	case CheckpointsRemoved:
		return schedule.Removed{For: e.For, Seqs: e.Seqs, Failed: e.Failed}
	case StoreCompacted:
		return schedule.Compacted{For: e.For, Err: e.Err.asError()}
	case UsageRead:
		return schedule.UsageRead{Usage: e.Usage, Err: e.Err.asError()}
	case MemoryRead:
		return schedule.MemoryRead{Use: e.Use, Err: e.Err.asError()}
	case MemorySeen:
		return schedule.MemorySeen{Use: e.Use, Err: e.Err.asError(), At: e.At}
	}
	return nil
}

// timerFired hands a timer's end to its owner.
func (l *Lifecycle) timerFired(e TimerFired) {
	switch e.Timer {
	case TimerProbation:
		l.recover(recovery.Tick{RunTime: l.clock.read(l.now)})
	case TimerCheckpoint:
		l.plan(schedule.Due{})
	case TimerStandby:
		l.tend(standby.Retry{})
	case TimerSettle:
		l.settled()
	case TimerKill:
		l.killOverdue(e.Generation)
	case TimerRetry:
		l.retryRequests()
	}
}
