package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
)

// ErrOff turns a thread of the program away that asks where no checkpoint can be
// taken.
var ErrOff = errors.New("no checkpoint can be taken")

// errNoRoom ends a checkpoint that is being taken when memory runs short.
var errNoRoom = fmt.Errorf("%w: the program needs the memory", checkpoint.ErrFull)

// The program begins to run, runs on, or stops.

// began has a program checkpointed soon. A program that was quick to ask for a
// checkpoint has its next one by the interval.
func began(m *machine, _ Began) {
	switch a := m.s.Attempt; {
	case m.s.Phase == Idle:
		m.waitForFirst()
	case a != nil && a.Generation != m.in.Generation:
		m.s.First = true
	}
}

// waitForFirst sets the timer for a program that has just begun.
func (m *machine) waitForFirst() {
	m.s.First = false
	m.setTimer(min(firstDelay, m.in.Config.Interval), "the program's first")
}

func resumed(m *machine, _ Resumed) { m.waitForInterval() }

func released(m *machine, _ Released) {
	m.s.PausedAt = time.Time{}
	m.waitForInterval()
	m.goOn()
}

// forgetSpacing: the pause before the rollback was followed by another course.
func forgetSpacing(m *machine, _ Released) { m.s.PausedAt = time.Time{} }

// stopped overtakes the checkpoint under way.
func stopped(m *machine, _ Stopped) {
	m.s.Program = nil
	m.cancelTimer()
	if m.s.Phase == Taking {
		m.do(Abort{})
	}
}

// A checkpoint is due, or asked for.

func due(m *machine, _ Due) {
	m.s.Phase = Idle
	switch {
	case !m.in.Paused:
		m.begin(checkpoint.TriggerInterval)
	case len(m.s.Operator) > 0:
		m.begin(checkpoint.TriggerOperator)
	}
}

func programAsked(m *machine, e ProgramAsked) {
	if queueProgram(m, e); len(m.s.Program) > 0 {
		m.begin(checkpoint.TriggerProgram)
	}
}

// queueProgram notes a thread that waits for the next checkpoint.
func queueProgram(m *machine, e ProgramAsked) {
	if !m.in.Config.Enabled || len(m.s.Program) >= maxWaiting {
		m.do(AnswerProgram{Generation: m.in.Generation, Waiters: []Waiter{e.Waiter}, Err: ErrOff})
		return
	}
	m.s.Program = append(m.s.Program, e.Waiter)
}

func operatorAsked(m *machine, e OperatorAsked) {
	queueOperator(m, e)
	m.begin(checkpoint.TriggerOperator)
}

func queueOperator(m *machine, e OperatorAsked) { m.s.Operator = append(m.s.Operator, e.Waiter) }

// begin begins a checkpoint, unless the program can't be checkpointed now. The
// waiters then get the next one.
func (m *machine) begin(why checkpoint.Trigger) {
	if !m.in.Runs {
		return
	}
	m.cancelTimer()
	m.s.Last++
	m.s.Attempt = &Attempt{
		Seq: m.s.Last, Trigger: why, Generation: m.in.Generation,
		Program: m.s.Program, Operator: m.s.Operator,
	}
	m.s.Program, m.s.Operator = nil, nil
	m.lookForRoom()
}

// take has the checkpoint written, now that there is room for it.
func (m *machine) take() {
	a := m.s.Attempt
	switch {
	case m.overtaken():
		m.overtake()
		return
	case a.NoRoom:
		m.fail(errNoRoom)
		return
	}
	m.s.Phase = Taking
	m.do(Take{Seq: a.Seq, Parent: m.in.Parent, Trigger: a.Trigger, Generation: a.Generation})
}

// overtaken reports whether the program failed, ended or was replaced since the
// attempt began.
func (m *machine) overtaken() bool {
	return !m.in.Runs || m.in.Generation != m.s.Attempt.Generation
}

// overtake ends an attempt that was overtaken.
func (m *machine) overtake() {
	m.requeue()
	m.s.Phase = Idle
	m.goOn()
}

// requeue lets the commands that waited for the attempt wait for the next one.
func (m *machine) requeue() {
	m.s.Operator = append(slices.Clone(m.s.Attempt.Operator), m.s.Operator...)
	m.s.Attempt = nil
}

// taken ends an attempt: the checkpoint counts, unless it was overtaken.
func taken(m *machine, e Taken) {
	a := m.s.Attempt
	switch {
	case e.Err == nil && m.overtaken():
		// The recovery under way was decided on without this checkpoint.
		m.requeue()
		m.s.Phase = Retaining
		m.do(Remove{For: ForOvertaken, Seqs: []checkpoint.Seq{a.Seq}, Reasons: []string{"the program failed before it counted"}})
	case e.Err == nil:
		m.count(e.Manifest, e.StoppedAt)
	case m.overtaken():
		m.overtake()
	default:
		m.fail(e.Err)
	}
}

// count makes a published checkpoint part of the lineage, and lets those go that
// needn't be kept any more. The next one is taken only afterwards, when there is
// room again.
func (m *machine) count(manifest checkpoint.Manifest, stoppedAt time.Time) {
	a := m.s.Attempt
	m.s.Attempt = nil
	m.s.Kept = append(m.s.Kept, manifest)
	m.s.Failures, m.s.Problem = 0, ""
	m.s.PausedAt = stoppedAt.Add(manifest.Cost.Pause())
	if m.s.Stops == nil {
		m.s.Stops = make(map[checkpoint.Seq]time.Time)
	}
	m.s.Stops[manifest.Seq] = stoppedAt
	m.s.Recent = append(m.s.Recent, manifest.Cost)
	if extra := len(m.s.Recent) - maxRecent; extra > 0 {
		m.s.Recent = slices.Delete(m.s.Recent, 0, extra)
	}
	m.do(Count{Manifest: manifest})
	m.in.Parent = manifest.Seq // of one that is begun in this step
	m.answer(a, manifest, nil)
	m.retain()
}

// fail ends an attempt that came to nothing. The program runs on.
func (m *machine) fail(err error) {
	a := m.s.Attempt
	m.s.Attempt = nil
	m.s.Failures++
	m.s.Problem = err.Error()
	m.s.Phase = Idle
	m.do(Warn{Text: "checkpoint failed", Err: err})
	m.answer(a, checkpoint.Manifest{}, err)
	m.goOn()
}

func (m *machine) answer(a *Attempt, manifest checkpoint.Manifest, err error) {
	if len(a.Program) > 0 {
		m.do(AnswerProgram{Generation: a.Generation, Waiters: a.Program, Err: err})
	}
	if len(a.Operator) > 0 {
		m.do(AnswerOperator{Waiters: a.Operator, Manifest: manifest, Err: err})
	}
}

// goOn begins the next checkpoint if there are waiters, or waits for its time.
func (m *machine) goOn() {
	switch {
	case m.s.Phase != Idle && m.s.Phase != Waiting:
	case len(m.s.Program) > 0:
		m.begin(checkpoint.TriggerProgram)
	case len(m.s.Operator) > 0:
		m.begin(checkpoint.TriggerOperator)
	case m.s.Phase == Idle:
		m.waitForInterval()
	}
}

// waitForInterval sets the timer for the next checkpoint of a program that runs.
func (m *machine) waitForInterval() {
	switch {
	case m.s.Phase != Idle && m.s.Phase != Waiting:
		return
	case !m.in.Runs:
		m.cancelTimer()
		return
	case m.s.First:
		m.waitForFirst()
		return
	}
	delay, reason := Next(SpacingInput{
		Interval: m.in.Config.Interval, MaxOverhead: m.in.Config.MaxOverhead,
		Recent: m.s.Recent, Failures: m.s.Failures,
	})
	if !m.s.PausedAt.IsZero() && m.s.Failures == 0 {
		delay -= m.in.Now.Sub(m.s.PausedAt) // publishing took part of it
	}
	m.setTimer(max(0, delay), reason)
}

func (m *machine) setTimer(after time.Duration, reason string) {
	if m.in.Config.Enabled {
		m.s.Phase = Waiting
		m.do(SetTimer{After: after, Reason: reason})
	}
}

func (m *machine) cancelTimer() {
	if m.s.Phase == Waiting {
		m.s.Phase = Idle
		m.do(CancelTimer{})
	}
}
