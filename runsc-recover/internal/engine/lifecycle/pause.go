package lifecycle

import (
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// pauseAsked pauses or resumes the program. During a recovery the copy is paused,
// before anybody is told so.
func (l *Lifecycle) pauseAsked(e event.PauseAsked) {
	var err error
	switch {
	case !l.started || l.over:
		err = errdefs.ErrNotRunning
	case e.Paused && l.paused:
		err = errdefs.ErrPaused
	case !e.Paused && !l.paused:
		err = errdefs.ErrNotPaused
	}
	if err != nil {
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(err)})
		return
	}
	l.paused, l.wish = e.Paused, e.Request
	l.await(request{id: e.Request, event: e})
}

// settlePause brings a sandbox to the state that is asked for. One change is made
// at a time: gVisor counts pauses, and an operator may ask twice.
func (l *Lifecycle) settlePause(generation int) {
	sb := l.sandbox(generation)
	switch {
	case sb.pausing:
	case generation != l.current, sb.destroying:
		l.answerPauses(sb, sandbox.ErrGone)
	case sb.paused == l.paused:
		l.answerPauses(sb, nil)
	default:
		sb.pausing = true
		l.do(action.Pause{Generation: generation, Paused: l.paused})
	}
}

func (l *Lifecycle) pauseChanged(e event.PauseChanged) {
	sb := l.sandboxes[e.Generation]
	if sb == nil {
		return // its requests wait for the copy
	}
	sb.pausing = false
	if err := e.Err.AsError(); err != nil {
		// The copy that takes the sandbox's place sees to the wish.
		if e.Generation == l.current && !turnedAway(err) && !sb.failing && !l.recovering() {
			l.paused = sb.paused
			l.do(action.Warn{Text: "program not paused or resumed", Err: e.Err})
		}
		l.answerPauses(sb, err)
		return
	}
	sb.paused = e.Paused
	if !e.Paused {
		l.signals.resumed(l.now)
	}
	switch {
	case e.Generation != l.current:
	case e.Paused:
		l.clock.stop(l.now)
	case !sb.failing && !sb.ended:
		l.clock.start(l.now)
		l.plan(schedule.Resumed{})
	}
	l.settlePause(e.Generation)
}

func (l *Lifecycle) answerPauses(sb *sandboxState, err error) {
	waiting := sb.pauseRequests
	sb.pauseRequests = nil
	for _, r := range waiting {
		if err != nil && turnedAway(err) {
			l.again(r)
		} else {
			l.reply(action.Reply{Request: r.id, Err: fault.Of(err)})
		}
	}
}
