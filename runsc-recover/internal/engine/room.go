package engine

import (
	"context"
	"errors"
	"fmt"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// roomMargin is what a checkpoint may need beyond the size of the last one: it
// grows with the program, and the kernel counts its own work too.
const roomMargin = 16 << 20

// makeRoom keeps a checkpoint from running the container out of its memory: a
// program must not be killed for what only we need. Checkpoints on disk count
// too while they are taken. It gives staging memory back, which makes the next
// pause longer, lets old ones go that are in memory, and refuses when even then
// there is no room. Errors: ErrFull.
func (e *Engine) makeRoom(ctx context.Context) error {
	for compacted := false; e.opts.Memory != nil; {
		use, err := e.opts.Memory()
		if err != nil && e.opts.Config.Durability == config.DurabilityDisk {
			return nil // what is taken of it is given back at once
		}
		if err != nil {
			return fmt.Errorf("read memory use: %w", err)
		}
		drop, err := ask(ctx, e, func() (checkpoint.Seq, error) { return e.roomDecision(use, compacted) })
		if errors.Is(err, checkpoint.ErrFull) && !compacted {
			if compacted = true; e.opts.Store.Compact(ctx) == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if drop == 0 || len(e.removeNow([]checkpoint.Seq{drop})) > 0 {
			return nil
		}
	}
	return nil
}

// roomDecision is the checkpoint that goes to make room, 0 when there is room.
func (e *Engine) roomDecision(use schedule.Memory, compacted bool) (checkpoint.Seq, error) {
	c := &e.ckpt
	inMemory := e.opts.Config.Durability == config.DurabilityMemory
	// What the program took since the last one has all changed.
	grown := use.Used - min(use.Used, c.usedBefore+uint64(c.newestBytes()))
	drop, ok := roomFor(use, grown, c.manifests, e.pinned(), inMemory)
	switch {
	case ok:
		c.usedBefore = use.Used
		return 0, nil
	case drop == 0:
		if !c.tight {
			c.tight = true
			e.log.Warn("the memory limit leaves little room: memory for checkpoints is given back after each, and pauses are longer",
				"used", use.Used, "limit", use.Limit)
		}
		if compacted {
			e.dropStandby("a checkpoint needs its room")
		}
		return 0, fmt.Errorf("%w: the container uses %d MiB of its memory limit of %d MiB", checkpoint.ErrFull, use.Used>>20, use.Limit>>20)
	}
	e.forgetCheckpoint(drop)
	return drop, nil
}

// roomFor reports whether there is room for a checkpoint that is larger than
// the newest by what the program has grown, or else which goes, 0 for none. The newest stays, since the next
// would have to be whole without it, and so do those pinned. Only those in
// memory make room, and how much turns out when they are gone.
func roomFor(use schedule.Memory, grown uint64, manifests []checkpoint.Manifest, pinned map[checkpoint.Seq]bool, inMemory bool) (drop checkpoint.Seq, ok bool) {
	// Nothing is known of the first one's size but that all in use may be in it.
	need := use.Used
	if n := len(manifests); n > 0 {
		need = uint64(manifests[n-1].Staged()) + grown
	}
	need += need/8 + roomMargin
	// The program may be growing.
	if use.Limit == 0 || use.Used+need <= use.Limit-use.Limit/8 {
		return 0, true
	}
	for i, m := range manifests {
		if inMemory && i < len(manifests)-1 && !pinned[m.Seq] {
			return m.Seq, false
		}
	}
	return 0, false
}
