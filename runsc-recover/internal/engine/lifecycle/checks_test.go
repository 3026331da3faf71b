package lifecycle

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
)

// check checks one action.
func (m *model) check(a action.Action) {
	if _, reply := a.(action.Reply); m.over && !reply {
		m.problem("%T follows the end", a)
	}
	switch a := a.(type) {
	case action.Reply:
		m.checkReply(a)
	case action.End:
		m.over = true
	case action.Boot:
		if m.fakes[a.Generation] != nil || a.Generation != len(m.fakes)+1 {
			m.problem("generation %d is booted after %d others", a.Generation, len(m.fakes))
		}
	case action.Destroy:
		b := m.fake(a.Generation)
		if b == nil || !b.booted || b.destroying {
			m.problem("generation %d can't be destroyed: %+v", a.Generation, b)
		} else if a.Generation == m.l.current && !m.l.recovering() {
			m.problem("the running sandbox %d is destroyed", a.Generation)
		}
	case action.Restore:
		m.checkSandbox(a, a.Generation)
		m.checkSource(a.Seq, a.Generation)
		if b := m.fake(a.Generation); b.restored != 0 || b.started {
			m.problem("generation %d is restored again", a.Generation)
		}
	case action.OpenCheckpoint:
		m.checkSource(a.Seq, 0)
	case action.TakeCheckpoint:
		m.checkSandbox(a, a.Generation)
		if _, gone := m.removed[a.Parent]; gone || m.taking || a.Parent != m.l.recovery.Head() {
			m.problem("checkpoint %d of parent %d is taken; another is being taken: %v, the parent is gone: %v", a.Seq, a.Parent, m.taking, gone)
		}
	case action.RemoveCheckpoints:
		for _, seq := range a.Seqs {
			m.removed[seq] = removal{len(m.steps), m.removed[seq].asked}
		}
	case action.StartProgram:
		m.checkSandbox(a, a.Generation)
	case action.StartAfresh:
		m.checkSandbox(a, a.Generation)
	case action.AwaitPages:
		m.checkSandbox(a, a.Generation)
	case action.Release:
		m.checkSandbox(a, a.Generation)
		if b := m.fake(a.Generation); b.restored == 0 || b.released || b.restored != checkpoint.Seq(a.Info.CheckpointSeq) {
			m.problem("generation %d, which holds checkpoint %d, is released: %+v", a.Generation, b.restored, b)
		}
		if a.Stopped != 0 {
			m.checkSandbox(a, a.Stopped)
		}
	case action.Pause:
		m.checkSandbox(a, a.Generation)
		if b := m.fake(a.Generation); b.pausing || b.paused == a.Paused {
			m.problem("paused is %v, pausing %v, and is to be %v", b.paused, b.pausing, a.Paused)
		}
	case action.Refuse:
		m.checkSandbox(a, a.Generation)
	case action.CauseFailure:
		m.checkSandbox(a, a.Generation)
	case action.Signal:
		m.checkSandbox(a, a.Generation)
	case action.RepeatSignals:
		m.checkSandbox(a, a.Generation)
	case action.AnnounceStart:
		m.announced++
	case action.Save:
		m.saved = m.l.Summary()
	case action.WatchMemory:
		if m.set(timerWatch) {
			m.problem("the memory is watched twice")
		}
	default:
		m.checkRecord(a)
	}
}

// checkSandbox checks that there is a sandbox with which something is to be done.
func (m *model) checkSandbox(a action.Action, generation int) {
	if b := m.fake(generation); b == nil || !b.booted || b.destroying {
		m.problem("%T of generation %d, which there isn't: %+v", a, generation, b)
	}
}

// checkSource checks that a checkpoint was there when it was chosen. A command may
// remove it later.
func (m *model) checkSource(seq checkpoint.Seq, generation int) {
	r, gone := m.removed[seq]
	recovers := m.l.making != nil && (generation == 0 || m.l.making.generation == generation)
	switch {
	case !gone && !m.kept[seq]:
		m.problem("checkpoint %d was never taken", seq)
	case gone && !(recovers && r.asked && r.step >= m.tries):
		m.problem("checkpoint %d is used, and was removed at step %d", seq, r.step)
	}
}

func (m *model) checkReply(a action.Reply) {
	r := m.requests[a.Request]
	if r == nil || r.replied {
		m.problem("request %d is answered again", a.Request)
		return
	}
	r.replied = true
	if r.refused = a.Err != nil; r.refused {
		return
	}
	switch e := r.event.(type) {
	case event.SignalAsked:
		sent := m.sent[a.Request] || e.Signal == 0 || !m.l.started
		if ended := m.over && asksToEnd(e.Signal); !sent && !ended {
			m.problem("signal %d of request %d was not sent", e.Signal, a.Request)
		}
	case event.ForegroundAsked:
		if !m.sent[a.Request] {
			m.problem("signal %d of request %d was not sent", e.Signal, a.Request)
		}
	case event.SandboxAsked:
		if r.dropped {
			m.problem("request %d is answered, and nobody waits", a.Request)
		}
		if a.Generation != m.l.current || !m.l.runs() {
			m.problem("request %d is given sandbox %d", a.Request, a.Generation)
		}
	case event.CheckpointAsked:
		if a.Manifest.Seq == 0 {
			m.problem("request %d is given no checkpoint", a.Request)
		}
	case event.PauseAsked:
		if b := m.fake(m.l.current); m.wish == e && b.paused != e.Paused {
			m.problem("request %d was to make paused %v", a.Request, e.Paused)
		}
	}
}

// checkRecord checks that records open and close in their order.
func (m *model) checkRecord(a action.Action) {
	ok := true
	switch a := a.(type) {
	case action.BeginEpisode:
		ok = !m.recording && a.Number == m.episode+1
		m.recording, m.attempt, m.episode = true, false, a.Number
	case action.BeginAttempt:
		ok = m.recording && !m.attempt
		m.attempt, m.tries = true, len(m.steps)
	case action.NoteRestored:
		ok = m.recording && m.attempt
		m.met[string(a.Standby)]++
	case action.NoteReleased:
		ok = m.recording && m.attempt
	case action.EndAttempt:
		ok = m.recording && m.attempt
		m.attempt = false
	case action.EndEpisode:
		ok = m.recording && !m.attempt
		m.recording = false
	}
	if !ok {
		m.problem("%T is out of order", a)
	}
}

// unfinished says which recovery, or other work, is not under way and not done.
func (m *model) unfinished() string {
	l := &m.l
	switch {
	case l.recovering():
		return fmt.Sprintf("it is %v, restarting %v", l.recovery.Phase, l.recovery.Restarting)
	case l.making != nil || l.afresh != nil || l.copy != 0 || l.farewell != nil || l.died != 0:
		return "a copy is being made"
	case len(l.settling) > 0 || len(l.sending) > 0 || l.failing != nil || l.retrying:
		return fmt.Sprintf("settling %v, sending %v, failing %v, retrying %v", l.settling, l.sending, l.failing, l.retrying)
	case l.started && !l.runs():
		return fmt.Sprintf("the program doesn't run: %+v", *l.sandbox(l.current))
	case l.starting != nil:
		return "it is being started"
	}
	b := m.fake(l.current)
	if l.begun && (!b.alive || b.stopped && !m.hostile) {
		return fmt.Sprintf("the running sandbox is %+v", b)
	}
	if l.begun && b.killed {
		return "the program outlives a KILL"
	}
	// A resumed container whose network can't be read runs on, unannounced.
	if l.begun && m.announced != 1 && (l.network || !l.open.Resume) {
		return fmt.Sprintf("the start was announced %d times", m.announced)
	}
	if b != nil && l.begun && b.paused != l.paused {
		return fmt.Sprintf("paused is %v and was to be %v", b.paused, l.paused)
	}
	return ""
}

// unanswered says which request waits without need.
func (m *model) unanswered() string {
	for id, r := range m.requests {
		if _, later := r.event.(event.CheckpointAsked); later && m.l.schedule.Phase == schedule.Waiting {
			continue
		}
		if !r.replied && !r.dropped {
			return fmt.Sprintf("request %d isn't answered: %#v", id, r.event)
		}
	}
	s := m.l.schedule
	if b := m.fake(m.l.current); len(b.waiting) > 0 && !m.hostile && len(s.Program) == 0 {
		return fmt.Sprintf("threads %v wait for a checkpoint", b.waiting)
	}
	if n := len(s.Program) + len(s.Operator); n > 0 && s.Phase != schedule.Waiting {
		return fmt.Sprintf("%d wait for a checkpoint", n)
	}
	return ""
}

// lost says which sandbox nobody owns, or is owned and gone.
func (m *model) lost() string {
	owned := map[int]bool{m.l.current: true}
	if k := m.l.standby.Kept; k != nil {
		owned[k.Generation] = true
		if k.Kind == config.StandbyHot && !k.Loaded {
			return fmt.Sprintf("the memory of standby %d doesn't come", k.Generation)
		}
	}
	for seq, there := range m.stored {
		kept := slices.ContainsFunc(m.l.schedule.Kept, func(k checkpoint.Manifest) bool { return k.Seq == seq })
		bad := slices.ContainsFunc(m.l.bad, func(b event.BadCheckpoint) bool { return b.Seq == seq })
		if there && !kept && !bad {
			return fmt.Sprintf("checkpoint %d is nobody's", seq)
		}
	}
	if c := m.l.standby.Coming; c != nil {
		owned[c.Generation] = true
	}
	for g, b := range m.fakes {
		switch {
		case b.booted && !b.destroyed && !owned[g]:
			return fmt.Sprintf("sandbox %d is nobody's", g)
		case owned[g] && g != m.l.current && (!b.alive || b.destroying):
			return fmt.Sprintf("sandbox %d is a standby and gone", g)
		}
	}
	if len(m.l.sandboxes) > 3 {
		return fmt.Sprintf("%d sandboxes are remembered", len(m.l.sandboxes))
	}
	return ""
}

// idle says which work that goes on by itself has come to a halt.
func (m *model) idle() string {
	l := &m.l
	_, timer := m.timers[timerKey{event.TimerCheckpoint, 0}]
	phase := l.schedule.Phase
	switch {
	case phase != schedule.Idle && phase != schedule.Waiting:
		return fmt.Sprintf("checkpoints are %v", phase)
	case timer != (phase == schedule.Waiting):
		return fmt.Sprintf("checkpoints are %v, and the timer is set: %v", phase, timer)
	case l.cfg.Enabled && l.begun && !m.fake(l.current).paused && !timer:
		return "no checkpoint is due"
	case l.open.Limited && l.cfg.Enabled && !m.set(timerWatch):
		return "nobody watches the memory"
	case l.recovery.Phase == recovery.Probation && !m.set(event.TimerProbation):
		return "probation doesn't end"
	case l.standby.Waiting && l.standby.Failures <= 5 && !m.set(event.TimerStandby):
		return "the standby waits for no timer"
	case m.wantsStandby() && l.standby.Kept == nil && l.standby.Coming == nil && !l.standby.Waiting && l.standby.Reason == "":
		return "there is no standby, and no reason"
	}
	return ""
}

func (m *model) wantsStandby() bool {
	return m.l.network && m.l.cfg.Standby != config.StandbyCold && m.l.cfg.Enabled && len(m.l.recovery.Lineage) > 0
}

func (m *model) set(t event.Timer) bool {
	_, ok := m.timers[timerKey{t, 0}]
	return ok
}

// checkState checks the state after a step.
func (m *model) checkState(e event.Event, actions []action.Action) {
	if m.over || len(m.problems) > 0 {
		return
	}
	for _, why := range []string{m.checkTimers(), m.checkClock(), m.checkStore(), m.checkStep(e, actions)} {
		if why != "" {
			m.problem("after the last step %s", why)
		}
	}
	if len(m.steps) == 1 {
		m.saved = m.l.Summary() // which others have written
	}
	if s := m.l.Summary(); m.l.copy == 0 && !reflect.DeepEqual(s, m.saved) {
		m.problem("%+v is to be saved, and the last was %+v", s, m.saved)
	}
}

// checkTimers says which timer is set, or isn't, against the machine that owns it.
func (m *model) checkTimers() string {
	l := &m.l
	switch {
	case m.set(event.TimerCheckpoint) != (l.schedule.Phase == schedule.Waiting):
		return fmt.Sprintf("checkpoints are %v, and the timer is set: %v", l.schedule.Phase, m.set(event.TimerCheckpoint))
	case m.set(event.TimerProbation) != (l.recovery.Phase == recovery.Probation):
		return fmt.Sprintf("the recovery is %v, and the timer is set: %v", l.recovery.Phase, m.set(event.TimerProbation))
	case len(l.settling) > 0 && !m.set(event.TimerSettle):
		return "no timer settles"
	case l.retrying && !m.set(event.TimerRetry):
		return "no timer retries"
	case m.taking && !l.runs() && !m.aborted:
		return "a checkpoint is being taken of a program that doesn't run"
	}
	return ""
}

// checkClock says how run time is counted wrongly.
func (m *model) checkClock() string {
	l := &m.l
	counts := !l.clock.since.IsZero()
	sb := l.sandbox(l.current)
	switch {
	case counts && (!l.runs() || sb.paused):
		return fmt.Sprintf("run time is counted, and the program runs: %v, paused: %v", l.runs(), sb.paused)
	case !counts && l.begun && l.starting == nil && l.runs() && !sb.paused:
		return "run time isn't counted"
	}
	return ""
}

// checkStore says which checkpoint is remembered and gone.
func (m *model) checkStore() string {
	kept := map[checkpoint.Seq]bool{}
	for _, k := range m.l.schedule.Kept {
		kept[k.Seq] = true
		if _, ok := m.stored[k.Seq]; !ok && m.l.schedule.Phase != schedule.Retaining {
			return fmt.Sprintf("checkpoint %d is kept, and isn't in the store", k.Seq)
		}
	}
	for _, p := range m.l.recovery.Lineage {
		if !kept[p.Seq] {
			return fmt.Sprintf("checkpoint %d is on the lineage, and isn't kept", p.Seq)
		}
	}
	return ""
}

// checkStep says how the actions of a step are wrong.
func (m *model) checkStep(e event.Event, actions []action.Action) string {
	refused := 0
	for _, a := range actions {
		switch a := a.(type) {
		case action.Refuse:
			refused++
		case action.Warn:
			if strings.HasPrefix(a.Text, "the program needs the memory") && (m.l.standby.Kept != nil || m.l.standby.Coming != nil) {
				return "the standby keeps its memory"
			}
		case action.BeginAttempt:
			if f, ok := e.(event.Failed); ok && (!a.FailedAt.Equal(m.now) || a.StopTook != min(max(0, f.StopTook), maxStop)) {
				return fmt.Sprintf("the attempt's failure was at %v and took %v", a.FailedAt, a.StopTook)
			}
		}
	}
	if _, ok := e.(event.Failed); ok && (refused > 1 || refused == 1 && m.l.recovering()) {
		return "the failure is refused, and something else is done"
	}
	switch e := e.(type) {
	case event.DamageFound:
		if seq := m.l.sandbox(e.Generation).holds.seq; seq != 0 && e.Generation != m.l.copy && slices.ContainsFunc(m.l.schedule.Kept, func(k checkpoint.Manifest) bool { return k.Seq == seq }) && m.held(e.Generation) {
			return fmt.Sprintf("the damaged checkpoint %d is kept", seq)
		}
	case event.ProgramStarted:
		return m.startAnswered(e.Err)
	case event.StartPrepared:
		return m.startAnswered(e.Err)
	}
	return ""
}

// held reports whether a sandbox is a standby.
func (m *model) held(generation int) bool {
	k, c := m.l.standby.Kept, m.l.standby.Coming
	return k != nil && k.Generation == generation || c != nil && c.Generation == generation
}

func (m *model) startAnswered(err *fault.Fault) string {
	for id, r := range m.requests {
		if _, ok := r.event.(event.StartAsked); ok && err != nil && !r.replied {
			return fmt.Sprintf("the failed start %d isn't answered", id)
		}
	}
	return ""
}
