package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// recoveryState is the recovery under way, as far as the machine needn't know.
type recoveryState struct {
	failedAt time.Time     // when the failure's report arrived
	stopTook time.Duration // from the failure to its report
	heldAt   time.Time     // when the copy was held
	manifest checkpoint.Manifest
}

// maxStop bounds what a sandbox may claim about how long ago it failed.
const maxStop = time.Hour

// failed handles the report of the current generation, which is stopped.
func (e *Engine) failed(gen *generation, f failure.State) {
	now := time.Now()
	gen.failing = true
	e.clock.stop(now)
	e.ckpt.abort()
	f.Message = failure.Bound(f.Message, failure.MaxMessage)
	f.Program = failure.Bound(f.Program, episode.MaxProgramName)
	e.failure = f
	e.recovery = recoveryState{failedAt: now, stopTook: min(max(0, now.Sub(f.Time)), maxStop)}
	e.log.Info("program failed", "generation", gen.number, "kind", f.Kind, "code", f.Code, "signal", f.Signo, "message", f.Message)
	if f.Kind == failure.Operator {
		e.answerFail(nil)
	} else if why := e.signals.explains(f, now); why != "" {
		e.refuse([]string{why})
		return
	}
	e.step(recovery.Failed{Failure: recovery.Failure{
		Kind:    f.Kind,
		Key:     f.Key,
		Code:    f.Code,
		Signo:   f.Signo,
		RunTime: e.clock.read(now),
	}, Now: now, Held: e.standby.holds()})
}

// noteDeath prepares the record of a failure that nobody reported.
func (e *Engine) noteDeath(now time.Time) {
	if e.recovering() {
		return // the death of a sandbox that had already failed
	}
	e.failure = failure.State{Time: now, Message: "the sandbox died"}
	e.recovery = recoveryState{failedAt: now}
}

func (e *Engine) beginEpisode(a recovery.BeginEpisode, now time.Time) {
	e.journal.BeginEpisode(a, describe(e.failure, a.Failure), now)
}

// describe completes a failure with what the machine makes of it, which is all
// that is known of one that nobody reported.
func describe(f failure.State, known recovery.Failure) failure.State {
	f.Kind, f.Key, f.Code, f.Signo = known.Kind, known.Key, known.Code, known.Signo
	return f
}

// refuse lets the failing sandbox go on to fail.
func (e *Engine) refuse(reasons []string) {
	gen := e.current
	e.log.Info("failure refused", "reasons", reasons)
	gen.failing = false
	e.clock.start(time.Now())
	e.scheduleCheckpoint()
	e.background(func() {
		err := gen.Refuse(e.ctx)
		if err == nil {
			return
		}
		e.log.Error("refuse failure", "error", err)
		// It can't be let go, so it ends here, as it would have.
		e.post(func() {
			if gen == e.current && !gen.ended {
				gen.ended = true
				e.step(recovery.Exited{Status: failure.ExitStatus(e.failure.Kind, e.failure.Code, e.failure.Signo)})
			}
		})
	})
}

func (e *Engine) restored(c madeCopy, seq checkpoint.Seq, err error) {
	now := time.Now()
	if err != nil {
		e.log.Error("restore", "checkpoint", seq, "error", err)
		e.step(restoreFailed(seq, err, now))
		return
	}
	e.copy = c.gen
	e.recovery.manifest, e.recovery.heldAt = c.manifest, now
	e.journal.Restored(now.Sub(e.recovery.failedAt), string(c.standby), c.reasons)
	e.step(recovery.Ready{})
}

// restoreFailed tells the machine whether the checkpoint itself is at fault.
func restoreFailed(seq checkpoint.Seq, err error, now time.Time) recovery.RestoreFailed {
	damaged := false
	for _, at := range []error{checkpoint.ErrDamaged, checkpoint.ErrVersion, checkpoint.ErrNotFound} {
		damaged = damaged || errors.Is(err, at)
	}
	return recovery.RestoreFailed{Reason: failure.Bound(err.Error(), failure.MaxMessage), Damaged: damaged, Now: now}
}

// release lets the held copy run, told of the failure.
func (e *Engine) release(a recovery.Release) {
	gen, m := e.copy, e.recovery.manifest
	info := &failure.Info{
		Failure:        describe(e.failure, e.machine.Episode.Latest),
		Level:          uint32(a.Level),
		Attempt:        uint32(a.Attempt),
		CheckpointSeq:  uint64(a.Seq),
		CheckpointTime: m.TakenAt,
		FailureAfter:   a.FailureAfter,
	}
	stopped, ended := e.current, e.current.ended
	e.background(func() {
		var told sync.WaitGroup
		told.Go(func() { e.tellMemory(e.ctx, gen) })
		if !ended {
			if err := gen.TakeOver(e.ctx, stopped.Sandbox); err != nil {
				e.log.Warn("reset connections that can't go on", "error", err)
			}
		}
		told.Wait()
		err := gen.Release(e.ctx, sandbox.Release{Info: info})
		if errors.Is(err, sandbox.ErrGone) {
			gen.lastWords(e.ctx) // they may say why
		}
		e.post(func() { e.released(gen, m, err) })
	})
}

// released makes the copy the container's running generation. The sandbox that
// failed is destroyed only now: until here it could still be refused.
func (e *Engine) released(gen *generation, m checkpoint.Manifest, err error) {
	now := time.Now()
	e.copy = nil
	if err != nil {
		e.destroy(gen)
		e.step(restoreFailed(m.Seq, fmt.Errorf("release copy: %w", errors.Join(gen.damage, err)), now))
		return
	}
	e.journal.Released(now.Sub(e.recovery.heldAt))
	e.log.Info("copy runs", "generation", gen.number, "checkpoint", m.Seq)
	gen.from = m.Seq
	e.replaceCurrent(gen)
	e.clock.set(m.RunTime)
	e.clock.start(now)
	e.step(recovery.Released{})
	e.resumeOperator(gen, m.TakenAt)
	e.ckpt.spacing.forget()
	e.scheduleCheckpoint()
	e.continueCheckpoints()
	close(gen.admitted)
	e.settle(e.standbyAfterRecovery)
}

// settleTime is how long a copy that was just released has the processors for
// itself: its handler is what somebody waits for. Tearing a sandbox down and
// booting one take tens of milliseconds of them.
const settleTime = 50 * time.Millisecond

// settle runs f on the loop after settleTime.
func (e *Engine) settle(f func()) {
	e.background(func() {
		select {
		case <-time.After(settleTime):
			e.post(f)
		case <-e.ctx.Done():
		}
	})
}

// replaceCurrent puts gen in the place of the current generation and destroys
// that. The caller closes gen.admitted.
func (e *Engine) replaceCurrent(gen *generation) {
	old := e.current
	e.settle(func() { e.destroy(old) })
	e.current = gen
	e.dirty = true
}

// resumeOperator brings what the operator asked for since the checkpoint was
// taken to the copy, which knows nothing of it.
func (e *Engine) resumeOperator(gen *generation, since time.Time) {
	if e.paused {
		e.settlePause(gen, nil)
	}
	pending := e.signals.since(since)
	if len(pending) == 0 {
		return
	}
	e.background(func() {
		for _, s := range pending {
			if err := gen.container.Signal(e.ctx, s.signal, s.all); err != nil {
				e.log.Error("repeat signal to copy", "signal", s.signal, "error", err)
			}
		}
	})
}

// restartFresh starts the container from its bundle.
func (e *Engine) restartFresh(a recovery.RestartFresh) {
	e.log.Info("container is started afresh", "reasons", a.Reasons)
	old, network := e.current, e.network
	ended := old.ended
	old.ended = true
	e.background(func() {
		if !ended {
			if err := old.Hangup(e.ctx); err != nil {
				e.log.Warn("reset connections", "error", err)
			}
		}
		e.destroyNow(old)
		ctx, cancel := context.WithTimeout(e.ctx, restoreTime)
		defer cancel()
		gen, err := e.boot(ctx, bootWish{network: network})
		if err == nil {
			e.register(gen)
			e.tellMemory(ctx, gen)
			err = e.startAfresh(ctx, gen)
		}
		if !e.post(func() { e.restarted(gen, err) }) && gen != nil {
			e.destroyNow(gen)
		}
	})
}

func (e *Engine) startAfresh(ctx context.Context, gen *generation) error {
	if e.opts.PutNetworkBack != nil {
		if err := e.opts.PutNetworkBack(); err != nil {
			return err
		}
	}
	return gen.container.Start(ctx)
}

func (e *Engine) restarted(gen *generation, err error) {
	if err != nil {
		if gen != nil {
			e.destroy(gen)
		}
		e.step(recovery.RestartFailed{Reason: err.Error()})
		return
	}
	e.replaceCurrent(gen)
	e.clock.set(0)
	e.clock.start(time.Now())
	e.step(recovery.Restarted{})
	if e.paused {
		e.settlePause(gen, nil)
	}
	e.scheduleFirstCheckpoint()
	close(gen.admitted)
}

// operatorFail makes the sandbox fail for the operator and returns once it
// has, or why there is no failure. Errors: ErrFailing when another came first.
func (e *Engine) operatorFail(ctx context.Context, gen *generation, f failure.State) error {
	reply := make(chan error, 1)
	_, err := ask(ctx, e, func() (struct{}, error) {
		switch {
		case e.status() == statedir.StatusPaused:
			return struct{}{}, errdefs.ErrPaused
		case gen != e.current || e.recovering() || e.failing != nil:
			return struct{}{}, sandbox.ErrFailing
		}
		e.failing, e.failAsk = reply, f
		e.step(recovery.OperatorFail{})
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	return e.await(ctx, reply)
}

// failCurrent makes the sandbox stop as at a failure, for the operator.
func (e *Engine) failCurrent() {
	gen, f := e.current, e.failAsk
	e.background(func() {
		if err := gen.Fail(e.ctx, f); err != nil {
			e.post(func() { e.answerFail(fmt.Errorf("stop sandbox: %w", err)) })
		}
	})
}

// answerFail answers the operator who asked for a failure, if one did.
func (e *Engine) answerFail(err error) {
	if e.failing != nil {
		e.failing <- err
		e.failing = nil
	}
}

// rejected is why there is no failure, or no checkpoint, for the operator.
func (e *Engine) rejected(reasons []string) error {
	err := &errdefs.Error{Code: errdefs.CodeRecoveryOff, Message: strings.Join(reasons, "; ")}
	if e.opts.Config.Enabled && len(e.machine.Lineage) == 0 {
		err.Code, err.Next = errdefs.CodeCheckpointMissing, "state tells whether checkpoints can be taken"
	}
	return err
}
