package lifecycle

import (
	"errors"
	"slices"
	"strings"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/sentry/failure"
)

// The machines' steps, and the engine's action for each of theirs.

// recover gives the recovery machine an event. An event that comes up while its
// actions are carried out waits until they are.
func (l *Lifecycle) recover(e recovery.Event) {
	l.waiting = append(l.waiting, e)
	if l.stepping {
		return
	}
	l.stepping = true
	for len(l.waiting) > 0 {
		var actions []recovery.Action
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.recovery, actions = recovery.Step(l.cfg, l.recovery, next)
		for _, a := range actions {
			l.recoveryAsks(a)
		}
	}
	l.stepping = false
}

func (l *Lifecycle) recoveryAsks(a recovery.Action) {
	switch a := a.(type) {
	case recovery.BeginEpisode:
		l.record(action.BeginEpisode{Number: a.Episode, Failure: describe(l.failure, a.Failure), At: l.now})
	case recovery.BeginAttempt:
		l.record(action.BeginAttempt{Attempt: a, FailedAt: l.failedAt, StopTook: l.stopTook})
	case recovery.EndAttempt:
		l.record(action.EndAttempt{Outcome: a.Outcome, Reasons: a.Reasons})
	case recovery.EndEpisode:
		l.record(action.EndEpisode{Outcome: a.Outcome, Reasons: a.Reasons, At: l.now})
	case recovery.Restore:
		l.makeCopy(a.Seq)
	case recovery.Release:
		l.release(a)
	case recovery.Refuse:
		l.refuse(a.Reasons)
	case recovery.RestartFresh:
		l.restartAfresh(a.Reasons)
	case recovery.Exit:
		l.end(a.Status, a.Reasons)
	case recovery.SetTimer:
		l.do(action.SetTimer{Timer: event.TimerProbation, After: max(a.After, minTick)})
	case recovery.CancelTimer:
		l.do(action.CancelTimer{Timer: event.TimerProbation})
	case recovery.Remove:
		l.dropCheckpoints(a.Seqs)
		l.do(action.RemoveCheckpoints{Seqs: a.Seqs, Reasons: a.Reasons})
	case recovery.Fail:
		l.causeFailure()
	case recovery.Reject:
		l.answerFailure(l.rejected(a.Reasons))
	}
}

// describe completes a failure with the recovery machine's view of it, which is all
// that is known of a failure without a report.
func describe(f failure.State, known recovery.Failure) failure.State {
	f.Kind, f.Key, f.Code, f.Signo = known.Kind, known.Key, known.Code, known.Signo
	return f
}

// rejected is why there is no failure, or no checkpoint, for the operator.
func (l *Lifecycle) rejected(reasons []string) error {
	err := &errdefs.Error{Code: errdefs.CodeRecoveryOff, Message: strings.Join(reasons, "; ")}
	if l.cfg.Enabled && len(l.recovery.Lineage) == 0 {
		err.Code, err.Next = errdefs.CodeCheckpointMissing, "state tells whether checkpoints can be taken"
	}
	return err
}

// end ends the container. The loop leaves after this step.
func (l *Lifecycle) end(status int, reasons []string) {
	if l.over {
		return
	}
	l.over, l.status = true, status
	l.do(action.End{Status: status, Reasons: reasons})
}

// plan gives the schedule an event.
func (l *Lifecycle) plan(e schedule.Event) {
	var actions []schedule.Action
	l.schedule, actions = schedule.Step(l.scheduleInput(), l.schedule, e)
	for _, a := range actions {
		l.scheduleAsks(a)
	}
}

func (l *Lifecycle) scheduleInput() schedule.Input {
	in := schedule.Input{
		Config: l.cfg, Now: l.now, Generation: l.current, Runs: l.runs(), Paused: l.sandbox(l.current).paused,
		Parent: l.recovery.Head(), Pinned: l.recovery.Pinned(),
		Recovering: l.recovering(), Standby: l.standby.Kept != nil || l.standby.Coming != nil, Limited: l.open.Limited,
	}
	if held := l.standby.Holds(); held != 0 {
		in.Pinned[held] = true // the next recovery goes back to it
	}
	if in.Recovering && l.recovery.Episode != nil {
		in.Needed = l.recovery.Episode.Attempt.Seq
	}
	return in
}

func (l *Lifecycle) scheduleAsks(a schedule.Action) {
	switch a := a.(type) {
	case schedule.SetTimer:
		l.do(action.SetTimer{Timer: event.TimerCheckpoint, After: a.After, Reason: a.Reason})
	case schedule.CancelTimer:
		l.do(action.CancelTimer{Timer: event.TimerCheckpoint})
	case schedule.ReadMemory:
		l.do(action.ReadMemory{})
	case schedule.ReadUsage:
		l.do(action.ReadUsage{})
	case schedule.Watch:
		l.do(action.WatchMemory{After: a.After})
	case schedule.Forget:
		l.recover(recovery.CheckpointRemoved{Seq: a.Seq})
	case schedule.Remove:
		l.do(action.RemoveCheckpoints{For: a.For, Seqs: a.Seqs, Reasons: a.Reasons})
	case schedule.Compact:
		l.do(action.CompactStore{For: a.For, Reasons: a.Reasons})
	case schedule.Take:
		l.do(action.TakeCheckpoint{
			Generation: a.Generation, Seq: a.Seq, Parent: a.Parent, Trigger: a.Trigger,
			RunTime: l.clock.read(l.now), At: l.now, Ages: !l.sandbox(a.Generation).paused,
		})
	case schedule.Abort:
		l.do(action.AbortCheckpoint{})
	case schedule.Abandon:
		l.do(action.AbandonCheckpoint{Err: fault.Of(a.Err)})
	case schedule.Count:
		m := a.Manifest
		l.recover(recovery.CheckpointTaken{Seq: m.Seq, RunTime: m.RunTime, Asked: m.Trigger.Asked()})
		l.reconcile(standby.Reconcile{})
	case schedule.AnswerProgram:
		l.answerProgram(a)
	case schedule.AnswerOperator:
		for _, w := range a.Waiters {
			l.reply(action.Reply{Request: uint64(w), Manifest: a.Manifest, Err: fault.Of(a.Err)})
		}
	case schedule.DropStandby:
		l.reconcile(standby.Drop{Reason: a.Reason})
	case schedule.Warn:
		l.do(action.Warn{Text: a.Text, Err: fault.Of(a.Err)})
	}
}

func (l *Lifecycle) answerProgram(a schedule.AnswerProgram) {
	out := action.AnswerProgram{Generation: a.Generation, Err: fault.Of(a.Err)}
	for _, w := range a.Waiters {
		out.TIDs = append(out.TIDs, int32(w))
	}
	l.do(out)
}

func (l *Lifecycle) checkpointAsked(e event.CheckpointAsked) {
	switch {
	case !l.begun || l.over:
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(errdefs.ErrNotRunning)})
	case !l.cfg.Enabled:
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(l.rejected([]string{"recovery is not enabled"}))})
	default:
		l.plan(schedule.OperatorAsked{Waiter: schedule.Waiter(e.Request)})
	}
}

// forgetCheckpoints notes that checkpoints are no longer in the store.
func (l *Lifecycle) forgetCheckpoints(seqs []checkpoint.Seq) {
	l.dropCheckpoints(seqs)
	for _, seq := range seqs {
		l.recover(recovery.CheckpointRemoved{Seq: seq})
	}
}

func (l *Lifecycle) dropCheckpoints(seqs []checkpoint.Seq) {
	l.plan(schedule.Forgotten{Seqs: seqs})
	l.bad = slices.DeleteFunc(l.bad, func(b event.BadCheckpoint) bool { return slices.Contains(seqs, b.Seq) })
}

// removeDamaged removes a checkpoint that a standby could not be restored from, so
// that the next one doesn't refer to its pages.
func (l *Lifecycle) removeDamaged(seq checkpoint.Seq, err error) {
	l.do(action.Warn{Text: "checkpoint is damaged and removed", Err: fault.Of(err)})
	l.forgetCheckpoints([]checkpoint.Seq{seq})
	l.do(action.RemoveCheckpoints{Seqs: []checkpoint.Seq{seq}, Reasons: []string{"it is damaged"}})
}

// reconcile gives the standby machine an event.
func (l *Lifecycle) reconcile(e standby.Event) {
	var actions []standby.Action
	l.standby, actions = standby.Step(l.standbyInput(), l.standby, e)
	for _, a := range actions {
		l.standbyAsks(a)
	}
}

func (l *Lifecycle) standbyInput() standby.Input {
	in := standby.Input{
		Config: l.cfg, Now: l.now, Recent: l.schedule.Recent, Generation: l.last + 1, Head: l.recovery.Head(),
		Wanted: !l.over && l.network && len(l.recovery.Lineage) > 0 && !l.recovering(),
	}
	if n := len(l.recovery.Lineage); n > 0 {
		in.HeadRunTime = l.recovery.Lineage[n-1].RunTime
	}
	if n := len(l.schedule.Kept); n > 0 {
		in.Newest = l.schedule.Kept[n-1]
	}
	return in
}

func (l *Lifecycle) standbyAsks(a standby.Action) {
	switch a := a.(type) {
	case standby.Weigh:
		l.do(action.WeighStandby{Generation: a.Generation})
	case standby.Boot:
		l.boot(action.Boot{Fenced: a.Fenced})
	case standby.Restore:
		l.do(action.Restore{Generation: a.Generation, Seq: a.Seq})
	case standby.AwaitPages:
		l.do(action.AwaitPages{Generation: a.Generation})
	case standby.Destroy:
		if a.Later {
			l.settle(a.Generation)
		} else {
			l.destroy(a.Generation)
		}
	case standby.SetTimer:
		l.do(action.SetTimer{Timer: event.TimerStandby, After: a.After})
	case standby.CancelTimer:
		l.do(action.CancelTimer{Timer: event.TimerStandby})
	case standby.RemoveDamaged:
		l.removeDamaged(a.Seq, a.Err)
	case standby.Claimed:
		l.claimed = &a.Standby
	case standby.GivenUp:
		l.do(action.Inform{Text: "standby given up", Reasons: []string{a.Reason}})
	case standby.Warn:
		l.do(action.Warn{Text: a.Text, Err: fault.Of(a.Err)})
	}
}

// claim takes the best standby for a recovery to a checkpoint, nil for none.
func (l *Lifecycle) claim(seq checkpoint.Seq) *standby.Standby {
	l.claimed = nil
	l.reconcile(standby.Claim{Seq: seq})
	return l.claimed
}

// unusable reports whether a checkpoint is at fault for an error.
func unusable(err error) bool {
	return errors.Is(err, checkpoint.ErrDamaged) || errors.Is(err, checkpoint.ErrVersion) || errors.Is(err, checkpoint.ErrNotFound)
}
