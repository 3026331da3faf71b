package engine

import (
	"context"
	"time"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// setPaused pauses or resumes the program. During a recovery it is the copy
// that is paused, before anybody is told that it is.
func (e *Engine) setPaused(ctx context.Context, paused bool) error {
	_, err := ask(ctx, e, func() (struct{}, error) {
		switch {
		case !e.started || e.exit != nil:
			return struct{}{}, errdefs.ErrNotRunning
		case paused && e.paused:
			return struct{}{}, errdefs.ErrPaused
		case !paused && !e.paused:
			return struct{}{}, errdefs.ErrNotPaused
		}
		e.paused, e.dirty = paused, true
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	return e.surely(ctx, func(ctx context.Context) error {
		return e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
			reply := make(chan error, 1)
			e.post(func() { e.settlePause(gen, reply) })
			return e.await(ctx, reply)
		})
	})
}

// settlePause brings gen to the state that is asked for and answers on reply,
// if there is one, when it is there. One change is made at a time: gVisor
// counts pauses, and who asks may ask twice.
func (e *Engine) settlePause(gen *generation, reply chan<- error) {
	if reply != nil {
		gen.pauseReplies = append(gen.pauseReplies, reply)
	}
	switch {
	case gen.pausing:
	case gen != e.current:
		gen.answerPause(sandbox.ErrGone)
	case gen.paused == e.paused:
		e.keep()
		gen.answerPause(nil)
	default:
		e.changePause(gen, e.paused)
	}
}

func (e *Engine) changePause(gen *generation, paused bool) {
	gen.pausing = true
	change := gen.Resume
	if paused {
		change = gen.Pause
	}
	e.background(func() {
		err := change(e.ctx)
		e.post(func() {
			gen.pausing = false
			if err != nil {
				e.pauseFailed(gen, paused, err)
				return
			}
			e.pauseChanged(gen, paused)
			e.settlePause(gen, nil)
		})
	})
}

func (e *Engine) pauseChanged(gen *generation, paused bool) {
	now := time.Now()
	gen.paused, e.dirty = paused, true
	if !paused {
		e.signals.resumed(now)
	}
	switch {
	case gen != e.current:
	case paused:
		e.clock.stop(now)
	case !gen.failing:
		e.clock.start(now)
		e.scheduleCheckpoint()
	}
}

// pauseFailed gives the wish up, unless a copy will take the sandbox's place
// and see to it.
func (e *Engine) pauseFailed(gen *generation, paused bool, err error) {
	if gen == e.current && !gen.failing && !e.recovering() {
		e.paused = gen.paused
		e.log.Error("pause or resume", "paused", paused, "error", err)
	}
	gen.answerPause(err)
}

func (gen *generation) answerPause(err error) {
	for _, reply := range gen.pauseReplies {
		reply <- err
	}
	gen.pauseReplies = nil
}
