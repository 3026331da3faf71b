package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// retryDelay is how soon a request that a failing sandbox turned away looks
// again, should nothing have changed before.
const retryDelay = 50 * time.Millisecond

// ask runs f in the loop and returns what it returned, once what it changed is
// saved. Errors: ErrNotRunning when the container is over.
func ask[T any](ctx context.Context, e *Engine, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	ch := make(chan answer, 1)
	go func() {
		if !e.post(func() {
			v, err := f()
			e.keep()
			ch <- answer{v, err}
		}) {
			ch <- answer{err: errdefs.ErrNotRunning}
		}
	}()
	select {
	case a := <-ch:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// wait returns when the container is over.
func (e *Engine) wait(ctx context.Context) error {
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await returns what is sent on reply, or ErrNotRunning when the container
// ends first.
func (e *Engine) await(ctx context.Context, reply <-chan error) error {
	select {
	case err := <-reply:
		return err
	case <-e.over:
		select {
		case err := <-reply: // it came just before the end
			return err
		default:
			return errdefs.ErrNotRunning
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withGeneration calls f with the running generation, after a recovery that is
// under way. When the sandbox fails or dies meanwhile f is called again with
// the copy.
func (e *Engine) withGeneration(ctx context.Context, f func(context.Context, *generation) error) error {
	for {
		var changed <-chan struct{}
		v, err := ask(ctx, e, func() (view, error) {
			if !e.started || e.exit != nil {
				return view{}, errdefs.ErrNotRunning
			}
			changed = e.changed
			return e.view(), nil
		})
		if err != nil {
			return err
		}
		if v.ready {
			err := f(ctx, v.gen)
			if !errors.Is(err, sandbox.ErrFailing) && !errors.Is(err, sandbox.ErrGone) {
				return e.explain(err)
			}
		}
		select {
		case <-changed:
		case <-time.After(retryDelay):
		case <-e.closed:
			return errdefs.ErrNotRunning
		case <-ctx.Done():
			return fmt.Errorf("wait for the recovery under way: %w", ctx.Err())
		}
	}
}

// explain returns why something failed: once the container is over, because of
// that, whatever its sandbox's last words were.
func (e *Engine) explain(err error) error {
	select {
	case <-e.closed:
		if err != nil {
			return errdefs.ErrNotRunning
		}
	default:
	}
	return err
}

// surely runs f to its end even when the command that asked goes away, and
// returns when either has.
func (e *Engine) surely(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryTime)
		defer cancel()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the recovery under way, after which the request takes effect: %w", ctx.Err())
	}
}

// start runs the program.
func (e *Engine) start(ctx context.Context) error {
	reply := make(chan error, 1)
	_, err := ask(ctx, e, func() (struct{}, error) {
		if e.started || e.exit != nil {
			return struct{}{}, &errdefs.Error{Code: errdefs.CodeNotCreated, Message: fmt.Sprintf("cannot start a container that is %s", e.status())}
		}
		// From here on the program may report failures.
		e.started, e.dirty = true, true
		gen := e.current
		e.background(func() { e.startGeneration(gen, reply) })
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	return e.await(ctx, reply)
}

// startGeneration runs the first generation and answers on reply. A start that
// fails ends the container, so that whoever waits for it sees the end.
func (e *Engine) startGeneration(gen *generation, reply chan<- error) {
	if e.opts.Resume != nil {
		reply <- e.bringBack(gen)
		return
	}
	begun := time.Now()
	err := e.runFirst(gen)
	if err != nil {
		err = e.explain(fmt.Errorf("start container: %w", err))
		e.log.Error("start", "error", err)
		reply <- err
		e.post(func() { e.step(recovery.Shutdown{Status: 1}) })
		return
	}
	// Before anything that a program which is over by now could hold up.
	e.post(func() { e.begun = true })
	reply <- nil
	network, err := gen.Network(e.ctx)
	if err != nil {
		e.log.Error("read network configuration", "error", err)
	}
	e.post(func() {
		e.network = network
		if gen == e.current && !gen.failing && !gen.ended {
			e.clock.start(begun)
			e.scheduleFirstCheckpoint()
			e.tendStandby()
		}
	})
	if e.opts.AfterStart != nil {
		e.opts.AfterStart(e.ctx)
	}
}

func (e *Engine) runFirst(gen *generation) error {
	if e.opts.BeforeStart != nil {
		if err := e.opts.BeforeStart(e.ctx); err != nil {
			return err
		}
	}
	e.tellMemory(e.ctx, gen)
	if e.opts.Image == nil {
		return gen.container.Start(e.ctx)
	}
	img, err := e.opts.Image()
	if err != nil {
		return err
	}
	if err := gen.Restore(e.ctx, img); err != nil {
		return err
	}
	return gen.Release(e.ctx, sandbox.Release{})
}

// signal sends an operator's signal to the program, wherever it runs by then.
func (e *Engine) signal(ctx context.Context, sig int, all bool) error {
	handled, err := ask(ctx, e, func() (bool, error) { return e.signalWithoutProgram(sig) })
	if err != nil || handled {
		return err
	}
	return e.surely(ctx, func(ctx context.Context) error {
		return e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
			return e.deliver(ctx, gen, sig, all)
		})
	})
}

// signalWithoutProgram deals with a signal for which no program is needed, and
// reports whether it did: a probe, one to a container that was not started, and
// a KILL during a start or a recovery, for whose end it need not wait.
func (e *Engine) signalWithoutProgram(sig int) (bool, error) {
	switch {
	case e.exit != nil:
		return true, errdefs.ErrNotRunning
	case sig == 0:
		return true, nil
	case !e.started, sig == sigKill && (!e.begun || e.recovering()):
		if asksToEnd(sig) {
			e.step(recovery.Shutdown{Status: 128 + sig})
		}
		return true, nil
	}
	return false, nil
}

// deliver gives the signal to a generation. Errors: ErrFailing when the
// program failed at the same time, so that its copy has to get it.
func (e *Engine) deliver(ctx context.Context, gen *generation, sig int, all bool) error {
	sent, err := ask(ctx, e, func() (*sentSignal, error) {
		return e.signals.add(sig, all, gen.paused, time.Now()), nil
	})
	if err != nil {
		return err
	}
	if err := gen.container.Signal(ctx, sig, all); err != nil {
		return err
	}
	if sig == sigKill {
		e.ensureEnd(gen)
	}
	_, err = ask(ctx, e, func() (struct{}, error) {
		if gen != e.current || e.recovering() {
			return struct{}{}, sandbox.ErrFailing
		}
		sent.delivered = true
		if sig == sigKill && gen.paused {
			e.paused = false
			e.settlePause(gen, nil)
		}
		return struct{}{}, nil
	})
	if errors.Is(err, errdefs.ErrNotRunning) {
		return nil // it was the signal that ended it
	}
	return err
}

// deliverForeground passes on a signal from the terminal. A copy doesn't get
// it again: who is in the foreground there may be somebody else.
func (e *Engine) deliverForeground(ctx context.Context, gen *generation, sig int) error {
	_, err := ask(ctx, e, func() (*sentSignal, error) {
		return e.signals.add(sig, false, gen.paused, time.Now()), nil
	})
	if err != nil {
		return err
	}
	return gen.container.SignalForeground(ctx, sig)
}

// ensureEnd destroys a sandbox that hasn't ended some time after KILL.
func (e *Engine) ensureEnd(gen *generation) {
	time.AfterFunc(killGrace, func() {
		e.post(func() {
			if gen == e.current && !gen.ended {
				e.step(recovery.Shutdown{Status: 128 + sigKill})
			}
		})
	})
}
