package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/host/procusage"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// performOnSandbox carries out an action on a sandbox, in the background.
func (e *Engine) performOnSandbox(a action.Action) {
	switch a := a.(type) {
	case action.Boot:
		e.boot(a)
	case action.PrepareStart:
		e.background(func() { e.post(event.StartPrepared{Err: fault.Of(e.beforeStart())}) })
	case action.StartProgram:
		e.startProgram(a)
	case action.StartAfresh:
		e.withHandle(a.Generation, e.startAfresh, func(err error) event.Event {
			return event.Restarted{Generation: a.Generation, Err: fault.Of(err)}
		})
	case action.AnnounceStart:
		if e.opts.AfterStart != nil {
			e.background(func() { e.opts.AfterStart(e.ctx) })
		}
	case action.ReadNetwork:
		e.readNetwork(a)
	case action.OpenCheckpoint:
		e.openImage(a.Seq)
	case action.CloseCheckpoint:
		e.closeImage()
	case action.Restore:
		e.restore(a)
	case action.AwaitPages:
		e.awaitPages(a)
	case action.Release:
		e.release(a)
	case action.Destroy:
		if h := e.sandboxes[a.Generation]; h != nil {
			e.destroy(h, a.Hangup)
		}
	default:
		e.operate(a)
	}
}

// operate carries out an operator's action, or one at a failure.
func (e *Engine) operate(a action.Action) {
	switch a := a.(type) {
	case action.Refuse:
		e.log.Info("failure refused", "reasons", a.Reasons)
		e.withHandle(a.Generation, func(h *handle) error { return h.Refuse(e.ctx) }, func(err error) event.Event {
			return event.Refused{Generation: a.Generation, Err: fault.Of(err)}
		})
	case action.CauseFailure:
		e.withHandle(a.Generation, func(h *handle) error { return h.Fail(e.ctx, a.Failure) }, func(err error) event.Event {
			return event.FailureCaused{Generation: a.Generation, Err: fault.Of(err)}
		})
	case action.Signal:
		e.signal(a)
	case action.RepeatSignals:
		e.withHandle(a.Generation, func(h *handle) error { return repeatSignals(e.ctx, h, a) }, func(err error) event.Event {
			if err != nil {
				e.log.Error("signals not repeated to copy", "error", err)
			}
			return nil
		})
	case action.Pause:
		e.withHandle(a.Generation, func(h *handle) error {
			if a.Paused {
				return h.Pause(e.ctx)
			}
			return h.Resume(e.ctx)
		}, func(err error) event.Event {
			return event.PauseChanged{Generation: a.Generation, Paused: a.Paused, Err: fault.Of(err)}
		})
	case action.SetMemory:
		e.setMemory(a)
	}
}

func (e *Engine) beforeStart() error {
	if e.opts.BeforeStart == nil {
		return nil
	}
	return e.opts.BeforeStart(e.ctx)
}

func (e *Engine) startProgram(a action.StartProgram) {
	begun, p := e.clock.now(), e.start
	e.withHandle(a.Generation, func(h *handle) error {
		if err := e.beforeStart(); err != nil {
			return err
		}
		return e.runFirst(h)
	}, func(err error) event.Event {
		if p != nil && err == nil {
			p.done.Store(true)
		}
		return event.ProgramStarted{Generation: a.Generation, At: begun, Err: fault.Of(err)}
	})
}

// runFirst runs the program from its beginning, or from an image.
func (e *Engine) runFirst(h *handle) error {
	e.tellMemory(e.ctx, h)
	if e.opts.Image == nil {
		return h.container.Start(e.ctx)
	}
	img, err := e.opts.Image()
	if err != nil {
		return err
	}
	if err := h.Restore(e.ctx, img); err != nil {
		return err
	}
	return h.Release(e.ctx, sandbox.Release{})
}

func (e *Engine) startAfresh(h *handle) error {
	ctx, cancel := e.bounded()
	defer cancel()
	e.tellMemory(ctx, h)
	if e.opts.PutNetworkBack != nil {
		if err := e.opts.PutNetworkBack(); err != nil {
			return err
		}
	}
	return h.container.Start(ctx)
}

func (e *Engine) readNetwork(a action.ReadNetwork) {
	h := e.sandboxes[a.Generation]
	e.background(func() {
		m := message{event: event.NetworkRead{Generation: a.Generation, Err: fault.Of(sandbox.ErrGone)}}
		if h != nil {
			network, err := h.Network(e.ctx)
			m = message{event: event.NetworkRead{Generation: a.Generation, Err: fault.Of(err)}, network: network}
		}
		e.send(m)
	})
}

// openedImage is the result of Store.Open.
type openedImage struct {
	img checkpoint.Image
	err error
}

// openImage opens a checkpoint while its sandbox is being made.
func (e *Engine) openImage(seq checkpoint.Seq) {
	e.closeImage()
	opened := make(chan openedImage, 1)
	e.opened = opened
	e.background(func() {
		ctx, cancel := e.bounded()
		defer cancel()
		img, err := e.opts.Store.Open(ctx, seq)
		opened <- openedImage{img, err}
	})
}

// closeImage closes the checkpoint that was opened ahead, if there is one.
func (e *Engine) closeImage() {
	opened := e.opened
	e.opened = nil
	if opened == nil {
		return
	}
	e.background(func() {
		if o := <-opened; o.err == nil {
			o.img.Close()
		}
	})
}

// restore loads a checkpoint in a sandbox: the image that was opened ahead for a
// recovery, or another for a standby.
func (e *Engine) restore(a action.Restore) {
	if e.sandboxes[a.Generation] == nil {
		e.closeImage() // nothing will take the image over
	}
	opened := e.opened
	e.opened = nil
	done := event.Restored{Generation: a.Generation, Seq: a.Seq}
	e.withHandle(a.Generation, func(h *handle) error {
		ctx, cancel := e.bounded()
		defer cancel()
		o := openedImage{}
		if opened != nil {
			o = <-opened
		} else {
			o.img, o.err = e.opts.Store.Open(ctx, a.Seq)
		}
		if o.err != nil {
			return fmt.Errorf("open checkpoint: %w", o.err)
		}
		m := o.img.Manifest()
		done.Opened, done.RunTime, done.TakenAt = true, m.RunTime, m.TakenAt
		if err := h.Restore(ctx, o.img); err != nil {
			return fmt.Errorf("restore checkpoint: %w", err)
		}
		return nil
	}, func(err error) event.Event {
		done.Err = fault.Of(err)
		return done
	})
}

func (e *Engine) awaitPages(a action.AwaitPages) {
	var work time.Duration
	e.withHandle(a.Generation, func(h *handle) error {
		err := h.Loaded(e.ctx)
		work = e.processorTime(h) - h.worked
		return err
	}, func(err error) event.Event {
		if err != nil {
			return nil // the sandbox is gone, which its end says
		}
		return event.PagesLoaded{Generation: a.Generation, Work: work}
	})
}

// release lets the held copy run, also when a connection can't be reset.
func (e *Engine) release(a action.Release) {
	stopped := e.sandboxes[a.Stopped]
	info := a.Info
	info.Failure = e.failureOf(info.Failure, a.FailedAt)
	e.withHandle(a.Generation, func(h *handle) error {
		var told sync.WaitGroup
		told.Go(func() { e.tellMemory(e.ctx, h) })
		if stopped != nil {
			if err := h.TakeOver(e.ctx, stopped.Sandbox); err != nil {
				e.log.Warn("connections that can't go on not reset", "error", err)
			}
		}
		told.Wait()
		return h.Release(e.ctx, sandbox.Release{Info: &info})
	}, func(err error) event.Event {
		return event.Released{Generation: a.Generation, Err: fault.Of(err)}
	})
}

// signal sends an operator's signal. A request whose signal was sent is answered
// so even when the container is over before the loop knows.
func (e *Engine) signal(a action.Signal) {
	p := e.requests[a.Request]
	if p != nil {
		p.signal = a.Signal
	}
	e.withHandle(a.Generation, func(h *handle) error {
		if a.Foreground {
			return h.container.SignalForeground(e.ctx, a.Signal)
		}
		return h.container.Signal(e.ctx, a.Signal, a.All)
	}, func(err error) event.Event {
		if p != nil && err == nil {
			p.done.Store(true)
		}
		return event.SignalSent{Request: a.Request, Generation: a.Generation, Err: fault.Of(err)}
	})
}

func repeatSignals(ctx context.Context, h *handle, a action.RepeatSignals) error {
	var errs []error
	for _, s := range a.Signals {
		errs = append(errs, h.container.Signal(ctx, s.Signal, s.All))
	}
	return errors.Join(errs...)
}

func (e *Engine) setMemory(a action.SetMemory) {
	var handles []*handle
	for _, generation := range a.Generations {
		if h := e.sandboxes[generation]; h != nil {
			handles = append(handles, h)
		}
	}
	e.background(func() {
		for _, h := range handles {
			e.tellMemory(e.ctx, h)
		}
		e.post(event.MemorySet{Request: a.Request})
	})
}

// tellMemory has the programs of a sandbox find as much memory as the container
// may use now: its limit, or the host's memory where that is less. A wrong belief
// of the program's is no reason to fail for.
func (e *Engine) tellMemory(ctx context.Context, h *handle) {
	if e.opts.Memory == nil {
		return
	}
	use, err := e.opts.Memory()
	if err == nil {
		err = h.SetMemory(ctx, usableMemory(use.Limit, procusage.HostMemory()))
	}
	if err != nil && !errors.Is(err, sandbox.ErrGone) {
		e.log.Warn("program not told of its memory", "error", err)
	}
}

// usableMemory is how much of a host's memory a container with a limit, 0 for
// none, can use, in bytes.
func usableMemory(limit, host uint64) uint64 {
	if limit == 0 {
		return host
	}
	return min(limit, host)
}

// performOnHost reads the host's figures of the container, in the background.
func (e *Engine) performOnHost(a action.Action) {
	switch a := a.(type) {
	case action.ReadMemory:
		e.background(func() {
			use, err := e.opts.Memory()
			e.post(event.MemoryRead{Use: use, Err: fault.Of(err)})
		})
	case action.WatchMemory:
		e.background(func() { e.watchMemory(a.After) })
	case action.WeighStandby:
		e.weighStandby(a)
	case action.ReadOOMKills:
		e.background(func() { e.post(event.OOMKillsRead{Generation: a.Generation, Kills: e.opts.OOMKills()}) })
	}
}

func (e *Engine) watchMemory(after time.Duration) {
	select {
	case <-e.ctx.Done():
		return
	case <-time.After(after):
	}
	use, err := e.opts.Memory()
	e.post(event.MemorySeen{Use: use, At: e.clock.now(), Err: fault.Of(err)})
}

// weighStandby reads the container's memory use, and the standby's.
func (e *Engine) weighStandby(a action.WeighStandby) {
	h := e.sandboxes[a.Generation]
	e.background(func() {
		w := event.StandbyWeighed{Generation: a.Generation}
		if h != nil && e.opts.ProcessMemory != nil {
			w.Measured = e.opts.ProcessMemory(h.Pids())
		}
		if e.opts.Memory != nil {
			use, err := e.opts.Memory()
			if err != nil {
				err = fmt.Errorf("read memory use: %w", err)
			}
			w.Use, w.Err = use, fault.Of(err)
		}
		e.post(w)
	})
}
