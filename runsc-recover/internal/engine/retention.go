package engine

import (
	"context"
	"errors"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/api"
)

// retain removes the checkpoints that needn't be kept any more. The next one
// is taken only afterwards, when there is room again.
func (e *Engine) retain() {
	c := &e.ckpt
	_, gone := schedule.Retain(time.Now(), c.manifests, e.opts.Config.Retain, e.pinned())
	drop := dropped(gone)
	if len(drop) == 0 && e.opts.Config.StoreLimit == 0 {
		c.running = nil
		return
	}
	// A recovery that begins now must not count on them.
	for _, seq := range drop {
		e.step(recovery.CheckpointRemoved{Seq: seq})
	}
	e.background(func() {
		errs := e.removeNow(drop)
		e.shrinkStore(e.ctx, 0)
		e.post(func() {
			for _, seq := range drop {
				if errs[seq] == nil { // else it is tried again after the next one
					c.drop(seq)
				}
			}
			c.running = nil
			e.continueCheckpoints()
		})
	})
}

// pinned are the checkpoints that have to stay.
func (e *Engine) pinned() map[checkpoint.Seq]bool {
	pinned := e.machine.Pinned()
	if held := e.standby.holds(); held != 0 {
		pinned[held] = true // it is what the next recovery goes back to
	}
	return pinned
}

// shrinkStore keeps the store, to which so many bytes are about to be added,
// within its limit as far as policy.Shrink allows.
//
// Preconditions: it is called in the background.
func (e *Engine) shrinkStore(ctx context.Context, coming int64) {
	compacted := false
	for e.opts.Config.StoreLimit > 0 {
		use, err := e.opts.Store.Usage(ctx)
		if err != nil {
			return // that it can't be read is said where it is written
		}
		next, err := ask(ctx, e, func() (schedule.Reduction, error) { return e.shrinkNext(use, coming, compacted), nil })
		switch {
		case err != nil:
			return
		case next.Drop != 0:
			if len(e.removeNow([]checkpoint.Seq{next.Drop})) > 0 {
				return
			}
		case next.Compact:
			compacted = true
			if err := e.opts.Store.Compact(ctx); err != nil {
				e.log.Warn("compact checkpoint store", "error", err)
			}
		default:
			return
		}
	}
}

// shrinkNext decides for shrinkStore. A checkpoint that is to go is forgotten,
// so that a recovery that begins now doesn't count on it.
func (e *Engine) shrinkNext(use checkpoint.Usage, coming int64, compacted bool) schedule.Reduction {
	next := schedule.Shrink(schedule.Store{
		Limit: e.opts.Config.StoreLimit, Usage: use, Coming: coming,
		Manifests: e.ckpt.manifests, Pinned: e.pinned(), Compacted: compacted,
	})
	if next.Drop != 0 || next.Compact {
		e.log.Debug("store is over its limit", "drop", next.Drop, "compact", next.Compact, "reasons", next.Reasons)
	}
	if next.Drop != 0 {
		e.forgetCheckpoint(next.Drop)
	}
	return next
}

// removeCheckpoints removes what the machine has forgotten.
func (e *Engine) removeCheckpoints(seqs []checkpoint.Seq) {
	for _, seq := range seqs {
		e.ckpt.drop(seq)
	}
	e.background(func() { e.removeNow(seqs) })
}

// removeNow removes checkpoints from the store and returns what went wrong.
func (e *Engine) removeNow(seqs []checkpoint.Seq) map[checkpoint.Seq]error {
	errs := make(map[checkpoint.Seq]error)
	for _, seq := range seqs {
		err := e.opts.Store.Remove(context.WithoutCancel(e.ctx), seq)
		if err != nil && !errors.Is(err, checkpoint.ErrNotFound) && !errors.Is(err, checkpoint.ErrClosed) {
			e.log.Warn("remove checkpoint", "seq", seq, "error", err)
			errs[seq] = err
		}
	}
	return errs
}

// forgetCheckpoint notes that a checkpoint is no longer there.
func (e *Engine) forgetCheckpoint(seq checkpoint.Seq) {
	e.ckpt.drop(seq)
	e.step(recovery.CheckpointRemoved{Seq: seq})
}

// listCheckpoints is what the operator sees, by ascending number.
func (e *Engine) listCheckpoints() []api.CheckpointEntry {
	reasons := make(map[checkpoint.Seq][]string)
	keep, _ := schedule.Retain(time.Now(), e.ckpt.manifests, e.opts.Config.Retain, e.machine.Pinned())
	for _, d := range keep {
		reasons[d.Seq] = d.Reasons
	}
	return api.EntriesOf(e.ckpt.manifests, e.ckpt.bad, reasons)
}
