package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// maxEvents is how many reports of a sandbox wait for the loop before the sandbox
// is held back.
const maxEvents = 16

// maxCalls bounds the calls to a sandbox that are under way at once. Only a hostile
// sandbox, which reports and doesn't answer, has more.
const maxCalls = 4096

// errFlooded: calls to a sandbox are turned away.
var errFlooded = errors.New("sandbox asks, and doesn't answer")

// handle is a sandbox of the container. All but calls is immutable.
type handle struct {
	sandbox.Sandbox
	calls      atomic.Int32 // under way, of those that the loop has asked for
	container  sandbox.Container
	generation int
	record     statedir.Sandbox
	// worked is the processors' time that this process, which serves a copy its
	// memory, had taken when the boot began.
	worked time.Duration
}

// boot makes a sandbox in the background.
func (e *Engine) boot(a action.Boot) {
	opts := e.bootOptions(a)
	events := make(chan sandbox.Event, maxEvents)
	opts.Events = events
	e.background(func() {
		worked := e.processorTime(nil)
		sb, err := e.opts.Boot(e.ctx, opts)
		if err != nil {
			e.post(event.Booted{Generation: a.Generation, Err: fault.Of(fmt.Errorf("boot sandbox: %w", err))})
			return
		}
		h := &handle{
			Sandbox: sb, container: sb.Container(opts.Containers[0].Name), generation: a.Generation, worked: worked,
			record: statedir.Sandbox{Number: a.Generation, ID: opts.ID, Root: opts.Root},
		}
		for _, pid := range sb.Pids() {
			if p, err := statedir.FindProcess(pid); err == nil {
				h.record.Processes = append(h.record.Processes, p)
			}
		}
		if !e.send(message{event: event.Booted{Generation: a.Generation}, handle: h}) {
			go drain(events)
			e.destroyNow(h)
			return
		}
		go e.listen(a.Generation, events)
	})
}

func (e *Engine) bootOptions(a action.Boot) sandbox.BootOptions {
	opts := e.opts.Template
	opts.Generation = a.Generation
	opts.ID = e.opts.GenerationID(a.Generation)
	opts.Root = e.opts.GenerationRoot(a.Generation)
	opts.Config = e.opts.Config
	opts.Fenced = a.Fenced
	opts.Containers = slices.Clone(opts.Containers)
	if !a.First {
		opts.Network = e.network
		opts.Containers[0].PassFiles = nil
	}
	return opts
}

// listen passes a sandbox's reports to the loop until the sandbox is gone.
func (e *Engine) listen(generation int, events <-chan sandbox.Event) {
	for ev := range events {
		if report := reportOf(generation, ev); report != nil {
			e.post(report)
		}
	}
	e.post(event.Closed{Generation: generation})
}

func drain(events <-chan sandbox.Event) {
	for range events {
	}
}

// reportOf is a sandbox's report as an event; nil for an empty one.
func reportOf(generation int, ev sandbox.Event) event.Event {
	switch {
	case ev.Failure != nil:
		return event.Failed{Generation: generation, Failure: *ev.Failure, StopTook: time.Since(ev.Failure.Time)}
	case ev.Checkpoint != nil:
		return event.CheckpointRequested{Generation: generation, TID: ev.Checkpoint.TID}
	case ev.Resolved:
		return event.Resolved{Generation: generation}
	case ev.Exited != nil:
		x := ev.Exited
		return event.Exited{Generation: generation, Status: x.Status, Crashed: x.Crashed, Err: fault.Of(x.Err)}
	case ev.Damaged != nil:
		return event.DamageFound{Generation: generation, Err: fault.Of(ev.Damaged)}
	}
	return nil
}

// destroy removes a sandbox in the background.
func (e *Engine) destroy(h *handle, hangup bool) {
	e.background(func() {
		if hangup {
			if err := h.Hangup(e.ctx); err != nil {
				e.log.Warn("connections not reset", "generation", h.generation, "error", err)
			}
		}
		e.destroyNow(h)
		e.post(event.Destroyed{Generation: h.generation})
	})
}

func (e *Engine) destroyNow(h *handle) {
	if err := h.Destroy(); err != nil && !errors.Is(err, sandbox.ErrGone) {
		e.log.Error("sandbox not destroyed", "generation", h.generation, "error", err)
	}
}

// processorTime is the processors' time that this process, and a sandbox where
// there is one, have taken so far.
func (e *Engine) processorTime(h *handle) time.Duration {
	if e.opts.ProcessorTime == nil {
		return 0
	}
	pids := []int{os.Getpid()}
	if h != nil {
		pids = append(pids, h.Pids()...)
	}
	return e.opts.ProcessorTime(pids)
}

// call calls f, unless too many calls are under way.
func (h *handle) call(f func(h *handle) error) error {
	defer h.calls.Add(-1)
	if h.calls.Add(1) > maxCalls {
		return errFlooded
	}
	return f(h)
}

// withHandle runs f in the background with a sandbox. A sandbox that is gone gives
// an error in its place.
func (e *Engine) withHandle(generation int, f func(h *handle) error, answer func(error) event.Event) {
	h := e.sandboxes[generation]
	e.background(func() {
		err := sandbox.ErrGone
		if h != nil {
			err = h.call(f)
		}
		if ev := answer(err); ev != nil {
			e.post(ev)
		}
	})
}

// bounded is a context that ends with the loop, or after restoreTime.
func (e *Engine) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, restoreTime)
}
