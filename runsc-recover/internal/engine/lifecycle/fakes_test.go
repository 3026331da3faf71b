package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// fakeSandbox is a sandbox of the world, as it is, whatever the container knows.
type fakeSandbox struct {
	generation                    int
	booted, destroying, destroyed bool
	alive                         bool
	restored                      checkpoint.Seq
	released                      bool
	started                       bool // its program runs, or ran
	stopped                       bool // at a failure
	ended                         bool // the program has
	killed                        bool // and took it, if it still lives
	paused, pausing               bool
	waiting                       []int32       // threads, for a checkpoint
	reports                       []event.Event // on their way, in order
}

// fault is an error, or nil, of an action on a sandbox, nil for none. A sandbox
// that is gone has no other.
func (w *world) fault(b *fakeSandbox) *fault.Fault {
	if b != nil && !b.alive {
		return fault.Of(fmt.Errorf("do that: %w", sandbox.ErrGone))
	}
	if w.calming || w.upTo(100) >= w.faults {
		return nil
	}
	err := pick[error](w, sandbox.ErrGone, context.DeadlineExceeded, errors.New("no luck"), sandbox.ErrFailing, checkpoint.ErrDamaged, errdefs.ErrNotRunning, sandbox.ErrUnsavable)
	if b != nil && errors.Is(err, sandbox.ErrGone) {
		w.die(b)
	}
	if errors.Is(err, sandbox.ErrFailing) && (b == nil || !b.started || b.stopped) {
		err = context.Canceled
	} else if errors.Is(err, sandbox.ErrFailing) {
		w.fail(b, failure.Reported)
	}
	return fault.Of(err)
}

// busy is fault for a call that a sandbox may refuse while it is stopped at a failure.
func (w *world) busy(b *fakeSandbox) *fault.Fault {
	if b.alive && b.stopped && w.one(2) {
		return fault.Of(sandbox.ErrFailing)
	}
	return w.fault(b)
}

func (w *world) boot(a action.Boot) event.Event {
	b := w.fake(a.Generation)
	err := w.fault(nil)
	if a.First && !w.one(5) {
		err = nil
	}
	if a.Fenced && err != nil && w.one(2) {
		err = fault.Of(sandbox.ErrNotFenced)
	}
	b.booted, b.alive = err == nil, err == nil
	return event.Booted{Generation: a.Generation, Err: err}
}

func (w *world) restore(a action.Restore) event.Event {
	b := w.fake(a.Generation)
	b.restored = a.Seq
	r := event.Restored{Generation: a.Generation, Seq: a.Seq, Opened: true, RunTime: w.times[a.Seq], TakenAt: w.now, Err: w.fault(b)}
	if !w.calming && r.Err != nil && w.one(2) {
		r.Err = fault.Of(fmt.Errorf("restore: %w", pick(w, checkpoint.ErrDamaged, checkpoint.ErrVersion, checkpoint.ErrNotFound, context.DeadlineExceeded)))
		r.Opened = w.one(2)
	}
	return r
}

func (w *world) take(a action.TakeCheckpoint) event.Event {
	w.taking = false
	b := w.fake(a.Generation)
	m := w.manifest(a.Seq, a.Parent, a.Trigger)
	m.Generation, m.RunTime = a.Generation, a.RunTime
	if a.Ages && !b.paused && !b.stopped {
		m.RunTime += w.now.Sub(a.At)
	}
	w.times[a.Seq] = m.RunTime
	err := w.fault(b)
	switch {
	case w.aborted && w.one(2):
		err = fault.Of(context.Canceled)
	case b.stopped:
		err = fault.Of(sandbox.ErrFailing)
	}
	w.aborted = false
	if w.kept[a.Seq] {
		panic(fmt.Sprintf("checkpoint %d is taken again", a.Seq))
	}
	if err == nil {
		w.kept[a.Seq], w.stored[a.Seq] = true, true
	}
	return event.CheckpointTaken{Manifest: m, StoppedAt: w.now, Err: err}
}

func (w *world) signal(a action.Signal) event.Event {
	b := w.fake(a.Generation)
	err := w.busy(b)
	if err == nil {
		w.sent[a.Request] = true
		b.killed = b.killed || a.Signal == sigKill
		if a.Signal == sigKill && !w.one(5) || a.Signal == 15 && w.one(20) {
			w.exit(b, 128+a.Signal)
		}
	}
	return event.SignalSent{Request: a.Request, Generation: a.Generation, Err: err}
}

// live has something happen in a sandbox that lives.
func (w *world) live(b *fakeSandbox) {
	running := b.started && !b.stopped && !b.ended && !b.paused
	switch n := w.upTo(80); {
	case w.hostile && n < 20:
		b.reports = append(b.reports, w.nonsense(b))
	case n < 4:
		w.die(b)
	case n < 7 && b.restored != 0:
		b.reports = append(b.reports, event.DamageFound{Generation: b.generation, Err: fault.Of(checkpoint.ErrDamaged)})
		w.die(b)
	case !running:
	case n < 20:
		w.fail(b, pick(w, failure.Reported, failure.Reported, failure.Signal, failure.Exit))
	case n == 20:
		w.exit(b, w.upTo(3))
	case n < 26:
		b.reports = append(b.reports, event.Resolved{Generation: b.generation})
	case n < 28: // of many threads
		for range 40 {
			w.ask(b)
		}
	case n < 40:
		w.ask(b)
	}
}

// failRunning fails the program that began last, if it can fail.
func (w *world) failRunning() {
	if b := w.running; b != nil && b.alive && !b.stopped && !b.ended && !b.paused {
		w.fail(b, failure.Reported)
	}
}

// nonsense is a report that a sandbox may make only if it was taken over.
func (w *world) nonsense(b *fakeSandbox) event.Event {
	switch w.upTo(6) {
	case 0, 1:
		return event.CheckpointRequested{Generation: b.generation, TID: 7}
	case 2:
		return event.Resolved{Generation: b.generation}
	case 3:
		return event.DamageFound{Generation: b.generation, Err: fault.Of(checkpoint.ErrDamaged)}
	case 4:
		return event.Failed{Generation: b.generation, Failure: failure.State{Kind: pick(w, failure.Reported, failure.Operator), Key: 9}, StopTook: -1}
	}
	return event.Exited{Generation: b.generation, Status: 3, Crashed: !w.one(4)}
}

// begin runs a sandbox's program, unless err says that there is none. Some have
// many threads that begin with a checkpoint.
func (w *world) begin(b *fakeSandbox, err *fault.Fault) {
	if err != nil {
		return
	}
	b.started, w.running = true, b
	if w.one(30) {
		for range 40 {
			w.ask(b)
		}
	}
}

func (w *world) ask(b *fakeSandbox) {
	w.threads++
	b.waiting = append(b.waiting, w.threads)
	b.reports = append(b.reports, event.CheckpointRequested{Generation: b.generation, TID: w.threads})
}

func (w *world) fail(b *fakeSandbox, kind failure.Kind) {
	b.stopped, b.waiting = true, nil
	f := failure.State{Kind: kind, Key: uint64(1 + w.upTo(3)), Message: "no"}
	if kind == failure.Signal {
		f.Signo = pick[int32](w, 11, 15, 9)
	}
	b.reports = append(b.reports, event.Failed{Generation: b.generation, Failure: f, StopTook: time.Millisecond})
}

// exit ends a sandbox's program, and then the sandbox.
func (w *world) exit(b *fakeSandbox, status int) {
	if b.ended || !b.alive {
		return
	}
	b.ended, b.waiting = true, nil
	b.reports = append(b.reports, event.Exited{Generation: b.generation, Status: status})
	w.die(b)
}

func (w *world) die(b *fakeSandbox) {
	if !b.alive {
		return
	}
	b.alive, b.waiting = false, nil
	if w.one(3) {
		w.kills++
	}
	if !b.ended && w.one(2) {
		b.reports = append(b.reports, event.Exited{Generation: b.generation, Status: 137, Crashed: true, Err: fault.Of(errors.New("killed"))})
	}
	b.reports = append(b.reports, event.Closed{Generation: b.generation})
}

// sortedFakes are the sandboxes by number, so that a run can be repeated.
func (w *world) sortedFakes() (out []*fakeSandbox) {
	for _, b := range w.fakes {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *fakeSandbox) int { return a.generation - b.generation })
	return out
}
