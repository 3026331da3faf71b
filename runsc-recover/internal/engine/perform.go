package engine

import (
	"time"

	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/sentry/failure"
)

// perform carries out one action. It never blocks.
func (e *Engine) perform(a action.Action) {
	switch a := a.(type) {
	case action.SetTimer:
		e.setTimer(a)
	case action.CancelTimer:
		e.stopTimer(timerKey{timer: a.Timer})
	case action.Save:
		e.save()
	case action.Reply:
		e.reply(a)
	case action.Warn, action.Inform, action.InformFailed, action.InformEnded:
		e.tell(a)
	case action.End:
		e.log.Info("container ends", "status", a.Status, "reasons", a.Reasons)
		e.exit = &statedir.Exit{Status: a.Status, At: time.Now()}
	case action.BeginEpisode, action.BeginAttempt, action.NoteRestored, action.NoteReleased, action.EndAttempt, action.EndEpisode:
		e.keepRecord(a)
	case action.TakeCheckpoint, action.AbortCheckpoint, action.AbandonCheckpoint, action.AnswerProgram, action.RemoveCheckpoints,
		action.CompactStore, action.ReadUsage:
		e.performOnStore(a)
	case action.ReadMemory, action.WatchMemory, action.WeighStandby, action.ReadOOMKills:
		e.performOnHost(a)
	default:
		e.performOnSandbox(a)
	}
}

// tell logs news for the operator.
func (e *Engine) tell(a action.Action) {
	switch a := a.(type) {
	case action.Inform:
		e.log.Info(a.Text, "reasons", a.Reasons)
	case action.InformFailed:
		e.log.Info("program failed", "generation", a.Generation, "kind", a.Kind, "code", a.Code, "signal", a.Signo, "message", a.Message)
	case action.InformEnded:
		e.log.Info("sandbox ended", "generation", a.Generation, "status", a.Status, "crashed", a.Crashed, "error", a.Err)
	case action.Warn:
		if a.Err == nil {
			e.log.Warn(a.Text)
			return
		}
		e.log.Warn(a.Text, "error", a.Err)
	}
}

// keepRecord changes the records of episodes, in memory.
func (e *Engine) keepRecord(a action.Action) {
	switch a := a.(type) {
	case action.BeginEpisode:
		f := a.Failure
		e.log.Info("episode begins", "episode", a.Number)
		known := recovery.Failure{Kind: f.Kind, Key: f.Key, Code: f.Code, Signo: f.Signo}
		e.journal.BeginEpisode(recovery.BeginEpisode{Episode: a.Number, Failure: known}, f, e.clock.wall(a.At))
	case action.BeginAttempt:
		at := a.Attempt
		e.log.Info("attempt begins", "attempt", at.Attempt, "level", at.Level, "checkpoint", at.Seq, "reasons", at.Reasons)
		e.journal.BeginAttempt(at, e.clock.wall(a.FailedAt), a.StopTook)
	case action.NoteRestored:
		e.journal.Restored(a.Took, string(a.Standby), a.Reasons)
	case action.NoteReleased:
		e.log.Info("copy runs", "generation", a.Generation, "checkpoint", a.Seq)
		e.journal.Released(a.Took)
	case action.EndAttempt:
		e.log.Info("attempt ends", "outcome", a.Outcome, "reasons", a.Reasons)
		e.journal.EndAttempt(recovery.EndAttempt{Outcome: a.Outcome, Reasons: a.Reasons})
	case action.EndEpisode:
		e.log.Info("episode ends", "outcome", a.Outcome, "reasons", a.Reasons)
		e.journal.EndEpisode(recovery.EndEpisode{Outcome: a.Outcome, Reasons: a.Reasons}, e.clock.wall(a.At))
	}
}

// save has records and state written, as they are now. Records that could not be saved
// are written again beside the next change.
func (e *Engine) save() {
	if e.unsaved.Swap(false) {
		e.journal.Touch()
	}
	journal, snapshot := e.journal.Changed(), e.snapshot()
	if e.opts.Changed != nil {
		e.opts.Changed(snapshot)
	}
	e.recorder.do(func() {
		if journal != nil {
			if err := journal.Save(); err != nil {
				e.log.Error("episodes not saved", "error", err)
				e.unsaved.Store(true)
			}
		}
		if e.opts.Saved != nil {
			e.opts.Saved(snapshot)
		}
	})
}

func (e *Engine) snapshot() Snapshot {
	s := e.life.Summary()
	out := Snapshot{Status: s.Status, Standby: s.Standby, CheckpointError: s.Problem, Exit: e.exit}
	if !out.Standby.Since.IsZero() {
		out.Standby.Since = e.clock.wall(out.Standby.Since)
	}
	for _, generation := range s.Live {
		if h := e.sandboxes[generation]; h != nil {
			out.Generations = append(out.Generations, h.record)
		}
	}
	return out
}

// timer is a timer that is set.
type timer struct {
	serial uint64 // tells it from the same one set before
	*time.Timer
}

// timerKey names a timer.
type timerKey struct {
	timer      event.Timer
	generation int
}

func (e *Engine) setTimer(a action.SetTimer) {
	key := timerKey{a.Timer, a.Generation}
	e.stopTimer(key)
	e.lastTimer++
	serial := e.lastTimer
	e.timers[key] = timer{serial, time.AfterFunc(a.After, func() {
		e.send(message{event: event.TimerFired{Timer: a.Timer, Generation: a.Generation}, timer: serial})
	})}
}

func (e *Engine) stopTimer(key timerKey) {
	if t, ok := e.timers[key]; ok {
		t.Stop()
		delete(e.timers, key)
	}
}

// current reports whether a timer's end is still asked for: the timer may have
// been set anew or stopped while its end was on the way.
func (e *Engine) current(ev event.TimerFired, serial uint64) bool {
	key := timerKey{ev.Timer, ev.Generation}
	if e.timers[key].serial != serial {
		return false
	}
	delete(e.timers, key)
	return true
}

// failureOf completes the error state of a failure without a report with its time.
func (e *Engine) failureOf(f failure.State, at time.Time) failure.State {
	if f.Time.IsZero() {
		f.Time = e.clock.wall(at)
	}
	return f
}
