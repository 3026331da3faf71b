package lifecycle

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/trace"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
)

var (
	modelRuns = flag.Int("runs", 1500, "random runs of the model")
	modelSeed = flag.Uint64("seed", 0, "play this run of the model alone, and show its trace")
)

// replayEvery is how many runs there are to one that is replayed from its log.
const replayEvery = 20

// TestModel plays containers whose sandboxes, timers, stores and operators do
// anything at any time, and checks the rules that hold whatever happens: at each step,
// and when all has come to rest. A run that fails is shown, and is played again by
// -seed.
func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		m := play(*modelSeed)
		t.Log(m.story())
		m.tell(t)
		return
	}
	ends := map[string]int{}
	for seed := range uint64(*modelRuns) {
		m := play(seed + 1)
		if m.tell(t); t.Failed() {
			return
		}
		for name, n := range m.met {
			ends[name] += n
		}
	}
	// A model that no longer gets anywhere proves nothing.
	for _, name := range []string{
		"Release", "StartAfresh", "RepeatSignals", "Refuse", "CompactStore", "AbandonCheckpoint", "EndEpisode", "CloseCheckpoint",
		"hot", "warm", "cold", "End", "settled", "RequestDropped", "Restored with an error", "Released with an error", "DamageFound",
	} {
		if ends[name] < *modelRuns/300 {
			t.Errorf("%d runs have met %s %d times", *modelRuns, name, ends[name])
		}
	}
}

// step is an event and the actions that it led to.
type step struct {
	at      time.Time
	event   event.Event
	actions []action.Action
}

// model is a container in its world, and all that its rules need to know of the run.
type model struct {
	world
	l        Lifecycle
	seed     uint64
	steps    []step
	met      map[string]int // actions and events by their names
	problems []string

	requests  map[uint64]*asked
	episode   int // the number of the last record
	recording bool
	attempt   bool // of the open record
	tries     int  // steps when the attempt began
	removed   map[checkpoint.Seq]removal
	wish      event.PauseAsked // the last, unless a KILL was sent since
	over      bool
}

// asked is a command's request.
type asked struct {
	event            event.Event
	dropped, replied bool
	refused          bool
}

// removal says when a checkpoint went, and whether a command removed it.
type removal struct {
	step  int
	asked bool
}

// play plays one run.
func play(seed uint64) (m *model) {
	m = &model{
		seed: seed, met: map[string]int{}, requests: map[uint64]*asked{}, removed: map[checkpoint.Seq]removal{},
		world: newWorld(rand.New(rand.NewPCG(seed, 7))),
	}
	defer func() {
		if p := recover(); p != nil {
			m.problem("panic: %v\n%s", p, debug.Stack())
		}
	}()
	opened := m.opened()
	m.episode = opened.Episodes
	m.requests[opened.Request] = &asked{event: opened}
	m.step(opened)
	for range 1 + m.upTo(6) {
		for range 5 + m.upTo(150) {
			m.happen()
		}
		m.settle()
	}
	if !m.over && len(m.problems) == 0 {
		m.step(event.ShutdownAsked{Status: 137})
		if !m.over {
			m.problem("the container doesn't end")
		}
	}
	if seed%replayEvery == 0 {
		m.replay()
	}
	return m
}

func (m *model) problem(format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

// happen has one thing happen.
func (m *model) happen() {
	m.now = m.now.Add(time.Duration(m.upTo(5000)) * time.Microsecond)
	if e := m.next(); e != nil {
		m.step(e)
	} else {
		m.command()
	}
}

// step gives the container an event and performs its actions.
func (m *model) step(e event.Event) {
	if m.over || len(m.problems) > 0 {
		return
	}
	m.met[reflect.TypeOf(e).Name()]++
	if err := reflect.ValueOf(e).FieldByName("Err"); err.IsValid() && !err.IsNil() {
		m.met[reflect.TypeOf(e).Name()+" with an error"]++
	}
	switch e := e.(type) {
	case event.CheckpointForgotten:
		m.removed[e.Seq] = removal{len(m.steps), true}
	case event.PauseAsked:
		m.wish = e
	case event.SignalSent:
		if r, ok := m.requests[e.Request].event.(event.SignalAsked); ok && r.Signal == sigKill {
			m.wish = event.PauseAsked{} // a KILL lets the program run on
		}
	}
	m.steps = append(m.steps, step{m.now, e, nil})
	actions := m.l.Step(m.now, e)
	m.steps[len(m.steps)-1].actions = actions
	for _, a := range actions {
		m.met[reflect.TypeOf(a).Name()]++
		m.check(a)
		m.perform(a)
	}
}

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
	case event.SandboxAsked:
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

// settle lets all that is under way come to its end, without further faults, and
// checks that nothing is left undone.
func (m *model) settle() {
	m.calming = true
	n := 0
	for e := m.calm(); e != nil && n < 5000 && !m.over && len(m.problems) == 0; e = m.calm() {
		m.step(e)
		n++
	}
	m.calming = false
	switch {
	case len(m.problems) > 0:
		return
	case m.over, m.l.current == 0: // creation failed
		return
	case n == 5000:
		m.problem("it doesn't come to rest")
		return
	}
	m.met["settled"]++
	for _, why := range []string{m.unfinished(), m.unanswered(), m.lost(), m.idle()} {
		if why != "" {
			m.problem("at rest %s", why)
		}
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

// replay reads the run from its log, and checks that it leads to the same.
func (m *model) replay() {
	var turns []Turn
	for _, s := range m.steps {
		b, err := json.Marshal(trace.Object{Value: s.event})
		if err != nil {
			m.problem("%T: %v", s.event, err)
			return
		}
		e, err := event.Decode(b)
		if err != nil {
			m.problem("%s: %v", b, err)
			return
		}
		at, _ := time.Parse(time.RFC3339Nano, s.at.Format(time.RFC3339Nano))
		turn := Turn{At: at, Event: e}
		for _, a := range s.actions {
			b, err := json.Marshal(trace.Object{Value: a})
			if err != nil {
				m.problem("%T: %v", a, err)
				return
			}
			turn.Actions = append(turn.Actions, string(b))
		}
		turns = append(turns, turn)
	}
	if err := Replay(turns); err != nil {
		m.problem("replay: %v", err)
	}
}

// tell fails the test if the run did.
func (m *model) tell(t *testing.T) {
	t.Helper()
	if len(m.problems) > 0 {
		t.Errorf("%s\nseed %d: %s", m.story(), m.seed, strings.Join(m.problems, "\n"))
	}
}

// story is the run's trace.
func (m *model) story() string {
	var out strings.Builder
	line := func(indent string, v any) {
		b, err := json.Marshal(trace.Object{Value: v})
		if err != nil {
			b = fmt.Appendf(nil, "%#v", v)
		}
		fmt.Fprintf(&out, "%s%s\n", indent, trace.Line(b, beginning))
	}
	for n, s := range m.steps {
		line(fmt.Sprintf("%4d %9v  ", n+1, s.at.Sub(beginning)), s.event)
		for _, a := range s.actions {
			line("                    ", a)
		}
	}
	return out.String()
}
