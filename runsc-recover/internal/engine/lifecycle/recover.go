package lifecycle

import (
	"errors"
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// failed handles the report of the current sandbox, which is stopped.
func (l *Lifecycle) failed(e event.Failed) {
	l.sandbox(l.current).failing = true
	l.stopRunning()
	f := e.Failure
	f.Message = failure.Bound(f.Message, failure.MaxMessage)
	f.Program = failure.Bound(f.Program, maxProgram)
	l.noteFailure(f)
	l.stopTook = min(max(0, e.StopTook), maxStop)
	l.do(action.InformFailed{Generation: l.current, Kind: f.Kind, Code: f.Code, Signo: f.Signo, Message: f.Message})
	if f.Kind == failure.Operator {
		l.answerFailure(nil)
	} else if why := l.signals.explains(f, l.now); why != "" {
		l.refuse([]string{why})
		return
	}
	l.recover(recovery.Failed{
		Failure: recovery.Failure{Kind: f.Kind, Key: f.Key, Code: f.Code, Signo: f.Signo, RunTime: l.clock.read(l.now)},
		Now:     l.now, Held: l.standby.Holds(),
	})
}

// refuse lets the failing sandbox go on to fail.
func (l *Lifecycle) refuse(reasons []string) {
	sb := l.sandbox(l.current)
	if sb.failing = false; !sb.paused {
		l.clock.start(l.now)
	}
	l.plan(schedule.Resumed{})
	l.do(action.Refuse{Generation: l.current, Reasons: reasons})
}

// refused ends a program that can't be let go as it would have ended. One that
// lives on may not have been paused because it was failing.
func (l *Lifecycle) refused(e event.Refused) {
	if e.Err == nil {
		l.settlePause(e.Generation)
		return
	}
	l.do(action.Warn{Text: "failure not refused", Err: e.Err})
	if sb := l.sandbox(l.current); e.Generation == l.current && !sb.ended {
		sb.ended = true
		l.recover(recovery.Exited{Status: failure.ExitStatus(l.failure.Kind, l.failure.Code, l.failure.Signo)})
	}
}

// stage is how far the making of a copy has come.
type stage int

const (
	clearing  stage = iota // the failed sandbox goes first: the copy listens where it did
	loading                // a hot standby is being loaded
	booting                // a sandbox is being made
	restoring              // the checkpoint is being restored in it
)

// making is a copy that is being made.
//
//	clearing ──▶ loading ─────────────────────────────▶ made    hot
//	    │           └── failed ──┐
//	    └──────▶ booting ◀───────┤──▶ restoring ──────▶ made    warm or cold
//	                             └── failed, warm ──┘
type making struct {
	stage      stage
	seq        checkpoint.Seq
	generation int            // under way, or, while clearing, the failed sandbox's
	kind       config.Standby // of the sandbox that the copy is made of
	claimed    *standby.Standby
	reasons    []string // why no better kind
	damaged    error    // of the checkpoint, as its standby found
}

// makeCopy makes a copy from a checkpoint, held before its first instruction.
func (l *Lifecycle) makeCopy(seq checkpoint.Seq) {
	claimed := l.claim(seq)
	if claimed != nil && claimed.Kind == config.StandbyHot && claimed.Phase == standby.Ready {
		l.copyMade(claimed.Generation, config.StandbyHot, nil)
		return
	}
	l.making = &making{seq: seq, claimed: claimed}
	if l.open.HostNetwork && l.sandboxes[l.current] != nil {
		l.making.generation = l.current
		l.destroy(l.current)
		return
	}
	l.beginCopy()
}

// waitsWith reports whether a sandbox is the standby that was claimed, while the
// failed sandbox goes.
func (m *making) waitsWith(generation int) bool {
	return m != nil && m.stage == clearing && m.claimed != nil && m.claimed.Generation == generation
}

// claimedBooted notes how the boot ended of a standby that was claimed during it.
func (m *making) claimedBooted(err error) {
	if err != nil {
		m.fallBack(err)
		m.claimed = nil
		return
	}
	m.claimed.Phase, m.claimed.Kind = standby.Ready, config.StandbyWarm
}

// claimedRestored notes how the restore ended of a standby that was claimed during
// it.
func (l *Lifecycle) claimedRestored(err error) {
	m := l.making
	if err == nil {
		m.claimed.Phase = standby.Ready
		return
	}
	m.fallBack(err)
	l.destroy(m.claimed.Generation)
	m.claimed = nil
	if errors.Is(err, checkpoint.ErrDamaged) {
		m.damaged = err
		l.removeDamaged(m.seq, err)
	}
}

// beginCopy gets hold of a sandbox: the standby that was claimed, or another.
func (l *Lifecycle) beginCopy() {
	m := l.making
	switch {
	case m.damaged != nil:
		l.copyFailed(m.damaged)
		return
	case m.claimed != nil && m.claimed.Phase == standby.Loading:
		m.stage, m.generation, m.kind = loading, m.claimed.Generation, config.StandbyHot
		return
	case m.claimed != nil && m.claimed.Kind == config.StandbyHot && m.claimed.Phase == standby.Ready:
		l.copyMade(m.claimed.Generation, config.StandbyHot, m.reasons)
		return
	}
	l.do(action.OpenCheckpoint{Seq: m.seq})
	switch {
	case m.claimed == nil:
		l.bootCold()
	case m.claimed.Phase == standby.Booting:
		m.stage, m.generation, m.kind = booting, m.claimed.Generation, config.StandbyWarm
	default:
		m.kind = config.StandbyWarm
		l.restoreCopy(m.claimed.Generation)
	}
}

func (l *Lifecycle) bootCold() {
	m := l.making
	m.stage, m.kind = booting, config.StandbyCold
	m.generation = l.boot(action.Boot{})
}

func (l *Lifecycle) restoreCopy(generation int) {
	m := l.making
	m.stage, m.generation = restoring, generation
	l.do(action.Restore{Generation: generation, Seq: m.seq})
}

// fallBack notes why the standby couldn't be used.
func (m *making) fallBack(err error) {
	m.reasons = append(m.reasons, failure.Bound(fmt.Sprintf("the standby couldn't be used: %v", err), maxReason))
}

func (l *Lifecycle) copyBooted(err error) {
	m := l.making
	switch {
	case err == nil:
		l.restoreCopy(m.generation)
	case m.kind == config.StandbyWarm:
		m.fallBack(err)
		l.bootCold()
	default:
		l.do(action.CloseCheckpoint{})
		l.copyFailed(err)
	}
}

// restored goes on with a sandbox in which a checkpoint was to be restored.
func (l *Lifecycle) restored(e event.Restored) {
	err := e.Err.AsError()
	if err == nil {
		l.sandbox(e.Generation).holds = restoredFrom{e.Seq, e.RunTime, e.TakenAt, l.schedule.StoppedAt(e.Seq)}
	}
	m := l.making
	if m.waitsWith(e.Generation) {
		l.claimedRestored(err)
		return
	}
	if m == nil || m.generation != e.Generation {
		l.reconcile(standby.Restored{Generation: e.Generation, RunTime: e.RunTime, Damaged: errors.Is(err, checkpoint.ErrDamaged), Err: err})
		l.repeatEnd(e.Generation)
		return
	}
	if err == nil {
		l.copyMade(e.Generation, m.kind, m.reasons)
		return
	}
	l.destroy(e.Generation)
	damaged := errors.Is(err, checkpoint.ErrDamaged)
	switch {
	case m.stage == loading && damaged:
		l.removeDamaged(m.seq, err)
		l.copyFailed(err)
	case m.stage == loading, m.kind == config.StandbyWarm && e.Opened && !damaged:
		m.fallBack(err)
		l.do(action.OpenCheckpoint{Seq: m.seq})
		l.bootCold()
	default:
		l.copyFailed(err)
	}
}

// repeatEnd repeats the news of a standby's end that came before that of its
// being ready.
func (l *Lifecycle) repeatEnd(generation int) {
	sb := l.sandbox(generation)
	if sb.damage != nil {
		l.reconcile(standby.Damaged{Generation: generation, Err: sb.damage})
	}
	if sb.closed {
		l.reconcile(standby.Gone{Generation: generation, Err: sandbox.ErrGone})
	}
}

func (l *Lifecycle) copyFailed(err error) {
	seq := l.making.seq
	l.making = nil
	l.do(action.Warn{Text: fmt.Sprintf("no copy from checkpoint %d", seq), Err: fault.Of(err)})
	l.recover(restoreFailed(err, l.now))
}

// restoreFailed tells the machine whether the checkpoint itself is at fault.
func restoreFailed(err error, now time.Time) recovery.RestoreFailed {
	return recovery.RestoreFailed{Reason: failure.Bound(err.Error(), failure.MaxMessage), Damaged: unusable(err), Now: now}
}

func (l *Lifecycle) copyMade(generation int, kind config.Standby, reasons []string) {
	l.making = nil
	l.copy, l.heldAt = generation, l.now
	l.record(action.NoteRestored{Took: l.now.Sub(l.failedAt), Standby: kind, Reasons: reasons})
	l.recover(recovery.Ready{})
}

// release lets the held copy run, told of the failure.
func (l *Lifecycle) release(a recovery.Release) {
	r := action.Release{Generation: l.copy, FailedAt: l.failedAt, Info: failure.Info{
		Failure:        describe(l.failure, l.recovery.Episode.Latest),
		Level:          uint32(a.Level),
		Attempt:        uint32(a.Attempt),
		CheckpointSeq:  uint64(a.Seq),
		CheckpointTime: l.sandbox(l.copy).holds.takenAt,
		FailureAfter:   a.FailureAfter,
	}}
	if sb := l.sandbox(l.current); !sb.ended && !sb.destroying {
		r.Stopped = l.current
	}
	l.do(r)
}

// released makes the copy the container's running sandbox. The failed sandbox is
// destroyed only now: until here the failure could still be refused.
func (l *Lifecycle) released(e event.Released) {
	l.farewell = nil
	sb, err := l.sandbox(e.Generation), e.Err.AsError()
	switch {
	case e.Generation != l.copy:
		return
	case err != nil && errors.Is(err, sandbox.ErrGone) && !sb.closed:
		l.farewell = &e // its last words may say why
		return
	case err != nil:
		l.releaseFailed(sb, err)
		return
	}
	l.copy = 0
	l.record(action.NoteReleased{Generation: e.Generation, Seq: sb.holds.seq, Took: l.now.Sub(l.heldAt)})
	l.answerFailure(sandbox.ErrGone) // another failure came first
	l.settle(l.current)
	l.current = e.Generation
	l.clock.set(sb.holds.runTime)
	l.clock.start(l.now)
	l.recover(recovery.Released{})
	l.resumeOperator(e.Generation, sb.holds.stoppedAt)
	l.plan(schedule.Released{})
	l.admit(e.Generation)
}

func (l *Lifecycle) releaseFailed(sb *sandboxState, err error) {
	generation := l.copy
	l.copy = 0
	l.destroy(generation)
	l.recover(restoreFailed(fmt.Errorf("release copy: %w", errors.Join(sb.damage, err)), l.now))
}

// resumeOperator brings the operator's wishes since the checkpoint was taken to
// the copy, which knows nothing of them.
func (l *Lifecycle) resumeOperator(generation int, since time.Time) {
	if l.paused {
		l.settlePause(generation)
	}
	if pending := l.signals.since(since); len(pending) > 0 {
		l.do(action.RepeatSignals{Generation: generation, Signals: pending})
	}
}

// afresh is a container that is being started from its bundle again: its former
// sandbox goes, then another is made.
type afresh struct {
	generation int
}

func (l *Lifecycle) restartAfresh(reasons []string) {
	l.do(action.Inform{Text: "container is started afresh", Reasons: reasons})
	sb := l.sandbox(l.current)
	hangup := !sb.ended
	sb.ended = true
	l.afresh = &afresh{generation: l.current}
	if l.sandboxes[l.current] == nil || sb.destroying {
		l.bootAfresh()
		return
	}
	sb.destroying = true
	l.do(action.Destroy{Generation: l.current, Hangup: hangup})
}

func (l *Lifecycle) bootAfresh() { l.afresh.generation = l.boot(action.Boot{}) }

func (l *Lifecycle) afreshBooted(err error) {
	if err != nil {
		l.afresh = nil
		l.recover(recovery.RestartFailed{Reason: err.Error()})
		return
	}
	l.do(action.StartAfresh{Generation: l.afresh.generation})
}

func (l *Lifecycle) restarted(e event.Restarted) {
	if l.afresh == nil || l.afresh.generation != e.Generation {
		return
	}
	l.afresh = nil
	if e.Err != nil {
		l.destroy(e.Generation)
		l.recover(recovery.RestartFailed{Reason: e.Err.Error()})
		return
	}
	l.answerFailure(sandbox.ErrGone) // another failure came first
	l.current = e.Generation
	l.clock.set(0)
	l.clock.start(l.now)
	l.recover(recovery.Restarted{})
	if l.paused {
		l.settlePause(e.Generation)
	}
	l.plan(schedule.Began{})
	l.admit(e.Generation)
	l.reconcile(standby.Reconcile{})
}
