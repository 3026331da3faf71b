package lifecycle

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// world is all that surrounds a container: sandboxes, store, host and timers. They do
// as random numbers say, within their contracts.
type world struct {
	random *rand.Rand
	now    time.Time
	// faults counts the actions that fail, of a hundred. Of a hundred things that
	// happen, quick more than 20 are actions being done, and commands are commands.
	faults, quick, commands int
	hostile                 bool         // sandboxes report anything
	unlucky                 bool         // programs fail while standbys are prepared
	running                 *fakeSandbox // whose program began last
	begun                   bool         // a program was started
	calming                 bool         // nothing fails or goes on for ever
	open                    event.Opened

	fakes   map[int]*fakeSandbox
	pending []pendingAction // not done yet
	answers []event.Event   // on their way
	timers  map[timerKey]time.Time
	taking  bool
	aborted bool
	kept    map[checkpoint.Seq]bool          // all that were ever taken
	stored  map[checkpoint.Seq]bool          // false for one that could not be removed
	times   map[checkpoint.Seq]time.Duration // run times
	sent    map[uint64]bool                  // signals that sandboxes took, by request
	kills   uint64
	last    uint64 // request
	threads int32
}

// pendingAction is an action that awaits its answer.
type pendingAction struct {
	action action.Action
	since  time.Time
}

// timerWatch is the end of WatchMemory.
const timerWatch event.Timer = "watch"

type timerKey struct {
	timer      event.Timer
	generation int
}

func newWorld(random *rand.Rand) world {
	w := world{
		random: random, now: beginning, fakes: map[int]*fakeSandbox{}, timers: map[timerKey]time.Time{}, kept: map[checkpoint.Seq]bool{},
		stored: map[checkpoint.Seq]bool{}, sent: map[uint64]bool{}, times: map[checkpoint.Seq]time.Duration{},
	}
	w.faults = pick(&w, 0, 2, 10, 40)
	w.quick = pick(&w, 10, 30, 50)
	w.commands = pick(&w, 1, 5, 20)
	w.hostile, w.unlucky = w.one(5), w.one(3)
	return w
}

// upTo returns a number from 0 to n-1.
func (w *world) upTo(n int) int { return w.random.IntN(n) }

// one reports true once in n times.
func (w *world) one(n int) bool { return w.upTo(n) == 0 }

func pick[T any](w *world, choices ...T) T { return choices[w.upTo(len(choices))] }

func (w *world) fake(generation int) *fakeSandbox { return w.fakes[generation] }

// opened is the container's beginning.
func (w *world) opened() event.Opened {
	cfg, err := config.Parse(map[string]string{
		"enabled":      strconv.FormatBool(!w.one(20)),
		"standby":      pick(w, "hot", "hot", "warm", "cold", "auto"),
		"interval":     pick(w, "10ms", "100ms", "1s"),
		"max-overhead": pick(w, "5%", "20%", "100%"),
		"retain":       pick(w, "1", "2", "8"),
		"on":           pick(w, "report,signal", "report", "report,signal,exit"),
		"grace":        pick(w, "0s", "50ms", "2s"),
		"max-attempts": pick(w, "1", "3", "6", "20"),
		"max-rate":     pick(w, "1", "60", "60"),
		"exhausted":    pick(w, "exit", "restart", "restart"),
		"durability":   pick(w, "memory", "disk"),
		"store-limit":  pick(w, "none", "none", "1MiB"),
		"standby-lag":  pick(w, "0s", "2s", "2s"),
	})
	if err != nil {
		panic(err)
	}
	o := event.Opened{Request: w.request(), Config: cfg, HostNetwork: w.one(4), Limited: w.one(3), CountsOOM: w.one(3)}
	for seq := checkpoint.Seq(1); !w.one(3); seq++ {
		w.kept[seq], w.stored[seq] = true, true
		if w.one(4) {
			o.Bad = append(o.Bad, event.BadCheckpoint{Seq: seq, Text: "unreadable"})
			continue
		}
		m := w.manifest(seq, seq-1, checkpoint.TriggerInterval)
		m.TakenAt, w.times[seq] = w.now.Add(-time.Hour), m.RunTime
		o.Kept = append(o.Kept, m)
	}
	if n := len(o.Kept); n > 0 && !w.one(3) {
		o.Resume, o.Head, o.Episodes = true, o.Kept[w.upTo(n)].Seq, w.upTo(3)
	}
	w.open = o
	return o
}

func (w *world) manifest(seq, parent checkpoint.Seq, trigger checkpoint.Trigger) checkpoint.Manifest {
	m := checkpoint.Manifest{Seq: seq, Parent: parent, Trigger: trigger, TakenAt: w.now, Generation: 1}
	m.RunTime = time.Duration(seq) * time.Millisecond
	m.Pages.Bytes = int64(w.upTo(1 << 26))
	m.Pages.Changed = int64(w.upTo(1 + int(m.Pages.Bytes)))
	m.Pages.Stored = m.Pages.Changed / 2
	m.Cost.Stop = time.Duration(w.upTo(500)) * time.Microsecond
	return m
}

func (w *world) request() uint64 {
	w.last++
	return w.last
}

// perform takes over an action.
func (w *world) perform(a action.Action) {
	switch a := a.(type) {
	case action.SetTimer:
		w.timers[timerKey{a.Timer, a.Generation}] = w.now.Add(a.After)
	case action.CancelTimer:
		delete(w.timers, timerKey{a.Timer, 0})
	case action.AbortCheckpoint, action.AbandonCheckpoint:
		w.aborted = w.taking
	case action.AnswerProgram:
		if b := w.fake(a.Generation); b != nil {
			b.waiting = slices.DeleteFunc(b.waiting, func(tid int32) bool { return slices.Contains(a.TIDs, tid) })
		}
	case action.RemoveCheckpoints:
		if a.For != "" {
			w.await(a)
			return
		}
		for _, seq := range a.Seqs {
			delete(w.stored, seq)
		}
	case action.WatchMemory:
		w.timers[timerKey{timerWatch, 0}] = w.now.Add(a.After)
	case action.Save, action.Reply, action.Warn, action.Inform, action.InformFailed, action.InformEnded, action.End, action.AnnounceStart, action.OpenCheckpoint, action.CloseCheckpoint, action.RepeatSignals, action.BeginEpisode, action.BeginAttempt,
		action.NoteRestored, action.NoteReleased, action.EndAttempt, action.EndEpisode:
	default:
		w.await(a)
	}
}

// await takes over an action that is answered later.
func (w *world) await(a action.Action) {
	switch a := a.(type) {
	case action.Boot:
		w.fakes[a.Generation] = &fakeSandbox{generation: a.Generation}
	case action.Destroy:
		w.fakes[a.Generation].destroying = true
	case action.Pause:
		w.fakes[a.Generation].pausing = true
	case action.Release:
		w.fakes[a.Generation].released = true
	case action.TakeCheckpoint:
		w.taking = true
	}
	w.pending = append(w.pending, pendingAction{a, w.now})
}

// next is the next event, nil for a command's.
func (w *world) next() event.Event {
	if w.unlucky && w.one(4) && w.preparing() {
		w.failRunning()
	}
	for range 50 {
		var e event.Event
		switch n := w.upTo(100); {
		case n < w.commands || !w.begun && w.one(5):
			return nil
		case n < 20+w.quick:
			e = w.answer(w.one(3))
		case n < 30+w.quick:
			e = w.timer(false)
		case n < 35+w.quick:
			if b := pick(w, append(w.sortedFakes(), nil)...); b != nil && b.alive {
				w.live(b)
			}
		default:
			e = w.hear()
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// preparing reports whether a sandbox is being booted or loaded.
func (w *world) preparing() bool {
	return slices.ContainsFunc(w.pending, func(p pendingAction) bool {
		switch p.action.(type) {
		case action.Boot, action.Restore:
			return true
		}
		return false
	})
}

// calm is an event that brings all to rest, nil when it is.
func (w *world) calm() event.Event {
	for len(w.pending) > 0 || len(w.answers) > 0 {
		if e := w.answer(false); e != nil {
			return e
		}
	}
	if e := w.hear(); e != nil {
		return e
	}
	return w.timer(true)
}

// hear is a report that is on its way, nil for none.
func (w *world) hear() event.Event {
	fakes := slices.DeleteFunc(w.sortedFakes(), func(b *fakeSandbox) bool { return len(b.reports) == 0 || !b.booted })
	if len(fakes) == 0 {
		return nil
	}
	b := pick(w, fakes...)
	e := b.reports[0]
	b.reports = b.reports[1:]
	return e
}

// timer is the end of a timer, nil for none.
func (w *world) timer(calm bool) event.Event {
	keys := slices.SortedFunc(maps.Keys(w.timers), func(a, b timerKey) int { return w.timers[a].Compare(w.timers[b]) })
	keys = slices.DeleteFunc(keys, func(k timerKey) bool {
		return calm && k.timer != event.TimerSettle && k.timer != event.TimerKill && k.timer != event.TimerRetry
	})
	if len(keys) == 0 {
		return nil
	}
	key := keys[0]
	if due := w.timers[key]; due.After(w.now) {
		w.now = due
	}
	delete(w.timers, key)
	if key.timer == timerWatch {
		return event.MemorySeen{Use: w.use(), At: w.now, Err: w.fault(nil)}
	}
	return event.TimerFired{Timer: key.timer, Generation: key.generation}
}

// answer does something that is to be done and answers it, or lets the answer be
// on its way. It is nil when there is nothing.
func (w *world) answer(later bool) event.Event {
	if n := len(w.answers); n > 0 && (w.calming || len(w.pending) == 0 || w.one(2)) {
		i := w.upTo(n)
		e := w.answers[i]
		w.answers = slices.Delete(w.answers, i, i+1)
		return e
	}
	n := len(w.pending)
	if n == 0 {
		return nil
	}
	i := w.upTo(n)
	d := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	e := w.do(d)
	if _, boot := e.(event.Booted); e != nil && later && !boot {
		w.answers = append(w.answers, e)
		return nil
	}
	return e
}

// do does an action and returns its answer, nil for none.
func (w *world) do(d pendingAction) event.Event {
	switch a := d.action.(type) {
	case action.Boot:
		return w.boot(a)
	case action.PrepareStart:
		w.begun = true
		e := event.StartPrepared{}
		if w.one(10) {
			e.Err = w.fault(nil)
		}
		return e
	case action.StartProgram:
		w.begun = true
		b := w.fake(a.Generation)
		var err *fault.Fault
		if !b.alive || w.one(5) {
			err = w.fault(b)
		}
		w.begin(b, err)
		return event.ProgramStarted{Generation: a.Generation, At: d.since, Err: err}
	case action.StartAfresh:
		b := w.fake(a.Generation)
		err := w.fault(b)
		w.begin(b, err)
		return event.Restarted{Generation: a.Generation, Err: err}
	case action.Restore:
		return w.restore(a)
	case action.AwaitPages:
		if !w.fake(a.Generation).alive {
			return nil
		}
		return event.PagesLoaded{Generation: a.Generation, Work: time.Duration(w.upTo(200)) * time.Millisecond}
	case action.Release:
		b := w.fake(a.Generation)
		err := w.fault(b)
		w.begin(b, err)
		return event.Released{Generation: a.Generation, Err: err}
	case action.Destroy:
		b := w.fake(a.Generation)
		w.die(b)
		b.destroyed = true
		return event.Destroyed{Generation: a.Generation}
	case action.TakeCheckpoint:
		return w.take(a)
	}
	return w.doOther(d)
}

func (w *world) doOther(d pendingAction) event.Event {
	switch a := d.action.(type) {
	case action.ReadNetwork:
		return event.NetworkRead{Generation: a.Generation, Err: w.busy(w.fake(a.Generation))}
	case action.Refuse:
		b := w.fake(a.Generation)
		err := w.fault(b)
		if err == nil {
			b.stopped = false
			if w.one(2) {
				w.exit(b, 128+w.upTo(20))
			}
		}
		return event.Refused{Generation: a.Generation, Err: err}
	case action.CauseFailure:
		b := w.fake(a.Generation)
		err := w.fault(b)
		switch {
		case b.stopped:
			err = fault.Of(sandbox.ErrFailing)
		case err == nil:
			w.fail(b, failure.Operator)
		}
		return event.FailureCaused{Generation: a.Generation, Err: err}
	case action.Signal:
		return w.signal(a)
	case action.Pause:
		b := w.fake(a.Generation)
		err := w.busy(b)
		if err == nil {
			b.paused = a.Paused
		}
		b.pausing = false
		return event.PauseChanged{Generation: a.Generation, Paused: a.Paused, Err: err}
	case action.SetMemory:
		return event.MemorySet{Request: a.Request}
	case action.RemoveCheckpoints:
		r := event.CheckpointsRemoved{For: a.For, Seqs: a.Seqs}
		for i, seq := range a.Seqs {
			if i == 0 && !w.calming && w.upTo(100) < w.faults {
				r.Failed, w.stored[seq] = a.Seqs[:1], false
			} else {
				delete(w.stored, seq)
			}
		}
		return r
	}
	return w.read(d.action)
}

// read answers a question to the store or the host.
func (w *world) read(a action.Action) event.Event {
	use, err := w.use(), w.fault(nil)
	switch a := a.(type) {
	case action.CompactStore:
		return event.StoreCompacted{For: a.For, Err: err}
	case action.ReadUsage:
		return event.UsageRead{Usage: checkpoint.Usage{Bytes: int64(w.upTo(1 << 21)), Live: int64(w.upTo(1 << 20))}, Err: err}
	case action.ReadMemory:
		return event.MemoryRead{Use: use, Err: err}
	case action.WeighStandby:
		return event.StandbyWeighed{Generation: a.Generation, Use: use, Measured: uint64(w.upTo(1 << 26)), Err: err}
	case action.ReadOOMKills:
		return event.OOMKillsRead{Generation: a.Generation, Kills: w.kills}
	}
	panic(fmt.Sprintf("%T isn't done", a))
}

// use is the container's memory use.
func (w *world) use() schedule.Memory {
	const limit = 1 << 29
	return schedule.Memory{Limit: limit, Used: uint64(pick(w, limit/4, limit/2, limit/3, w.upTo(limit)))}
}
