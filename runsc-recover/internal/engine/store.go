package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// answerTime bounds answering a thread of the program.
const answerTime = 10 * time.Second

// errOvertaken: the program failed or ended before its checkpoint counted.
var errOvertaken = errors.New("program failed during the checkpoint")

// takenCheckpoint is a checkpoint that is being taken.
type takenCheckpoint struct {
	cancel context.CancelFunc
	// worth ends, by leave, when the checkpoint isn't to be kept: taken to its
	// end, since the sandbox takes it, but not published.
	worth context.Context
	leave context.CancelCauseFunc
}

// performOnStore carries out an action on checkpoints, in the background.
func (e *Engine) performOnStore(a action.Action) {
	switch a := a.(type) {
	case action.TakeCheckpoint:
		e.takeCheckpoint(a)
	case action.AbortCheckpoint:
		if e.taking != nil {
			e.taking.cancel()
		}
	case action.AbandonCheckpoint:
		if e.taking != nil {
			e.taking.leave(a.Err)
		}
	case action.AnswerProgram:
		e.answerProgram(a)
	case action.RemoveCheckpoints:
		e.background(func() { e.removeCheckpoints(a) })
	case action.CompactStore:
		e.background(func() {
			err := e.opts.Store.Compact(e.ctx)
			if err != nil {
				e.log.Warn("checkpoint store not compacted", "for", a.For, "error", err)
			}
			e.post(event.StoreCompacted{For: a.For, Err: fault.Of(err)})
		})
	case action.ReadUsage:
		e.background(func() {
			usage, err := e.opts.Store.Usage(e.ctx)
			e.post(event.UsageRead{Usage: usage, Err: fault.Of(err)})
		})
	}
}

func (e *Engine) takeCheckpoint(a action.TakeCheckpoint) {
	ctx, cancel := context.WithCancel(e.ctx)
	t := &takenCheckpoint{cancel: cancel}
	t.worth, t.leave = context.WithCancelCause(ctx)
	e.taking = t
	m := e.opts.Identity
	m.Seq, m.Parent, m.Trigger, m.Generation, m.RunTime = a.Seq, a.Parent, a.Trigger, a.Generation, a.RunTime
	var stopped time.Time
	e.withHandle(a.Generation, func(h *handle) (err error) {
		defer cancel()
		defer t.leave(nil)
		aged := func(at time.Time) time.Duration {
			stopped = e.clock.at(at)
			if !a.Ages {
				return 0
			}
			return stopped.Sub(a.At)
		}
		m, err = t.capture(ctx, h, e.opts.Store, m, aged)
		return err
	}, func(err error) event.Event {
		if err == nil {
			e.log.Debug("checkpoint taken", "seq", m.Seq, "trigger", m.Trigger, "pause", m.Cost.Pause(), "publish", m.Cost.Publish, "bytes", m.Bytes())
		}
		return event.CheckpointTaken{Manifest: m, StoppedAt: stopped, Err: fault.Of(err)}
	})
}

// capture takes and publishes one checkpoint. aged says how much older the
// program got from when the checkpoint was asked for.
func (t *takenCheckpoint) capture(ctx context.Context, h *handle, store checkpoint.Store, m checkpoint.Manifest, aged func(time.Time) time.Duration) (checkpoint.Manifest, error) {
	st, err := store.Stage(ctx, m.Parent)
	if err != nil {
		return m, fmt.Errorf("stage checkpoint: %w", err)
	}
	defer st.Discard()
	begun := time.Now()
	res, err := h.Checkpoint(ctx, m.Seq, st)
	if err != nil {
		return m, fmt.Errorf("take checkpoint: %w", err)
	}
	m.Cost = boundCost(res.Cost, time.Since(begun))
	m.Pages.Tracking = res.Tracking
	m.TakenAt = begun.Add(m.Cost.Stop)
	m.RunTime += aged(m.TakenAt)
	// From here on a failure of the program comes after the checkpoint, but
	// one that was reported by now has already been decided on without it.
	if err := ctx.Err(); err != nil {
		return m, errOvertaken
	}
	m, err = st.Publish(t.worth, m)
	if err != nil {
		return m, fmt.Errorf("publish checkpoint: %w", errors.Join(err, context.Cause(t.worth)))
	}
	return m, nil
}

// boundCost makes a sandbox's claim of a checkpoint's cost fit into the time that
// the checkpoint took.
func boundCost(c checkpoint.Cost, took time.Duration) checkpoint.Cost {
	for _, d := range []*time.Duration{&c.Stop, &c.Kernel, &c.Copy} {
		*d = min(max(0, *d), took)
		took -= *d
	}
	return c
}

// removeCheckpoints removes checkpoints from the store. It goes on when the
// container ends: a decision is carried out.
func (e *Engine) removeCheckpoints(a action.RemoveCheckpoints) {
	var failed []checkpoint.Seq
	for _, seq := range a.Seqs {
		err := e.opts.Store.Remove(context.WithoutCancel(e.ctx), seq)
		if err != nil && !errors.Is(err, checkpoint.ErrNotFound) && !errors.Is(err, checkpoint.ErrClosed) {
			e.log.Warn("checkpoint not removed", "seq", seq, "error", err)
			failed = append(failed, seq)
		}
	}
	if a.For != "" {
		e.post(event.CheckpointsRemoved{For: a.For, Seqs: a.Seqs, Failed: failed})
	}
}

// answerProgram lets threads return from RECOVER_CHECKPOINT.
func (e *Engine) answerProgram(a action.AnswerProgram) {
	var cause error
	if a.Err != nil {
		cause = a.Err
	}
	e.withHandle(a.Generation, func(h *handle) error {
		ctx, cancel := context.WithTimeout(e.ctx, answerTime)
		defer cancel()
		for _, tid := range a.TIDs {
			err := h.CheckpointDone(ctx, wire.CheckpointRequest{TID: tid}, cause)
			if err != nil && !errors.Is(err, sandbox.ErrGone) {
				e.log.Warn("program's checkpoint request not answered", "error", err)
			}
		}
		return nil
	}, func(err error) event.Event {
		if errors.Is(err, errFlooded) {
			e.log.Warn("program's checkpoint request not answered", "error", err)
		}
		return nil
	})
}
