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
	saved     Summary          // as it was written last
	announced int
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
		delete(m.stored, e.Seq)
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
	m.checkState(e, actions)
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
