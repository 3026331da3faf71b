package engine

import (
	"context"
	"errors"
	"fmt"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// madeCopy is a copy that was made for a recovery, and what it was made of.
type madeCopy struct {
	gen      *generation
	manifest checkpoint.Manifest
	// standby is the kind that was used, and reasons say why no better one.
	standby config.Standby
	reasons []string
}

// restore makes a copy from a checkpoint, held before its first instruction.
func (e *Engine) restore(seq checkpoint.Seq) {
	ready, network := e.claimStandby(seq), e.network
	if ready != nil && ready.kind == config.StandbyHot && !ready.since.IsZero() {
		e.restored(ready.copy(), seq, nil)
		return
	}
	failed := e.current
	e.background(func() {
		ctx, cancel := context.WithTimeout(e.ctx, restoreTime)
		defer cancel()
		if e.opts.HostNetwork {
			e.destroyNow(failed) // the copy listens where it did
		}
		c, err := e.makeCopy(ctx, ready, seq, network)
		if !e.post(func() { e.restored(c, seq, err) }) && err == nil {
			e.destroyNow(c.gen)
		}
	})
}

// copy is a hot standby as a copy.
//
// Preconditions: p is hot and ready.
func (p *prepared) copy() madeCopy {
	return madeCopy{gen: p.gen, manifest: p.manifest, standby: config.StandbyHot}
}

// makeCopy gets hold of a sandbox that holds the checkpoint. On success the
// caller owns the result's sandbox; otherwise nothing is left.
func (e *Engine) makeCopy(ctx context.Context, ready *prepared, seq checkpoint.Seq, network sandbox.Network) (madeCopy, error) {
	var reasons []string
	if ready != nil && ready.seq == seq { // it is being loaded
		err := ready.wait(ctx)
		if err == nil {
			return ready.copy(), nil
		}
		ready, reasons = nil, noteFallback(nil, err)
	}
	c, err := e.loadCopy(ctx, ready, seq, network)
	c.reasons = append(reasons, c.reasons...)
	return c, err
}

// loadCopy opens the checkpoint while it gets hold of a sandbox, and loads it.
func (e *Engine) loadCopy(ctx context.Context, ready *prepared, seq checkpoint.Seq, network sandbox.Network) (madeCopy, error) {
	opened := make(chan openedImage, 1)
	go func() {
		img, err := e.opts.Store.Open(ctx, seq)
		opened <- openedImage{img, err}
	}()
	var c madeCopy
	err := ready.wait(ctx)
	if err == nil {
		c.gen, c.standby = ready.gen, config.StandbyWarm
	} else {
		c.reasons = noteFallback(c.reasons, err)
		c.gen, err = e.bootCopy(ctx, network)
		c.standby = config.StandbyCold
	}
	o := <-opened
	if err == nil {
		err = e.load(ctx, &c, o)
	} else if o.err == nil {
		o.img.Close()
	}
	if err != nil && c.standby == config.StandbyWarm && o.err == nil && !errors.Is(err, checkpoint.ErrDamaged) && ctx.Err() == nil {
		c.reasons, c.standby = noteFallback(c.reasons, err), config.StandbyCold
		if c.gen, err = e.bootCopy(ctx, network); err == nil {
			o.img, o.err = e.opts.Store.Open(ctx, seq)
			err = e.load(ctx, &c, o)
		}
	}
	if err != nil {
		return madeCopy{}, errors.Join(err, ctx.Err())
	}
	return c, nil
}

// openedImage is what Store.Open returns.
type openedImage struct {
	img checkpoint.Image
	err error
}

// noteFallback says why a sandbox had to be booted.
func noteFallback(reasons []string, err error) []string {
	if errors.Is(err, errNoStandby) {
		return reasons
	}
	return append(reasons, failure.Bound(fmt.Sprintf("the standby couldn't be used: %v", err), episode.MaxReason))
}

// bootCopy boots a sandbox for a copy.
func (e *Engine) bootCopy(ctx context.Context, network sandbox.Network) (*generation, error) {
	gen, err := e.boot(ctx, bootWish{network: network})
	if err != nil {
		return nil, err
	}
	if !e.register(gen) {
		e.destroyNow(gen)
		return nil, errdefs.ErrNotRunning
	}
	return gen, nil
}

// load restores a checkpoint in c's sandbox, which it destroys if that fails.
func (e *Engine) load(ctx context.Context, c *madeCopy, o openedImage) error {
	if o.err != nil {
		e.discard(c.gen)
		return fmt.Errorf("open checkpoint: %w", o.err)
	}
	c.manifest = o.img.Manifest()
	if err := c.gen.Restore(ctx, o.img); err != nil {
		e.discard(c.gen)
		return fmt.Errorf("restore checkpoint: %w", err)
	}
	return nil
}

// discard destroys a sandbox at once.
func (e *Engine) discard(gen *generation) {
	e.destroyNow(gen)
	e.post(func() {
		delete(e.live, gen)
		e.dirty = true
	})
}
