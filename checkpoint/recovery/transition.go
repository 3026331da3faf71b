package recovery

// handler changes the machine's state and adds actions, in answer to an event.
type handler func(*machine, Event)

// transition is the machine: the meaning of each event in each phase. An event
// that a phase doesn't list is ignored there: it came too late.
func transition(p Phase, e Event) handler {
	h := [phases][kinds]handler{
		Running: {
			kindFailed:            on(beginEpisode),
			kindSandboxDied:       on(beginEpisodeAfterDeath),
			kindExited:            on(exit),
			kindShutdown:          on(shutdown),
			kindCheckpointTaken:   on(checkpointTaken),
			kindCheckpointRemoved: on(checkpointRemoved),
			kindOperatorFail:      on(operatorFail),
			kindCopyDamaged:       on(damagedAfterProbation),
		},
		Restoring: {
			kindReady:             on(ready),
			kindReleased:          on(released),
			kindRestoreFailed:     on(restoreFailed),
			kindSandboxDied:       on(failingSandboxDied),
			kindExited:            on(failingSandboxExited),
			kindShutdown:          on(shutdown),
			kindCheckpointRemoved: on(checkpointRemoved),
			kindOperatorFail:      on(rejectDuringRecovery),
			kindCopyDamaged:       on(failingCopyDamaged),
		},
		Probation: {
			kindFailed:            on(failAgain),
			kindSandboxDied:       on(dieAgain),
			kindResolved:          on(resolved),
			kindTick:              on(tick),
			kindExited:            on(exitInProbation),
			kindShutdown:          on(shutdown),
			kindCheckpointTaken:   on(checkpointTaken),
			kindCheckpointRemoved: on(checkpointRemoved),
			kindOperatorFail:      on(operatorFail),
			kindCopyDamaged:       on(damagedInProbation),
		},
		Exhausted: {
			kindFailed:            on(failWhenExhausted),
			kindSandboxDied:       on(dieWhenExhausted),
			kindResolved:          on(resolvedWhenExhausted),
			kindExited:            on(exitWhenExhausted),
			kindShutdown:          on(shutdown),
			kindCheckpointTaken:   on(checkpointTaken),
			kindCheckpointRemoved: on(checkpointRemoved),
			kindOperatorFail:      on(rejectWhenExhausted),
			kindRestarted:         on(restarted),
			kindRestartFailed:     on(restartFailed),
			kindCopyDamaged:       on(damagedWhenExhausted),
		},
		Ended: {
			kindOperatorFail: on(rejectWhenEnded),
		},
	}[p][e.kind()]
	if h == nil {
		return func(*machine, Event) {}
	}
	return h
}

// on makes a handler of a function that takes its event's own type.
func on[E Event](f func(*machine, E)) handler {
	return func(m *machine, e Event) { f(m, e.(E)) }
}
