package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// prepared is a sandbox made ready for a recovery, or being made so:
//
//	booting ──▶ loading ──▶ ready    hot
//	booting ──────────────▶ ready    warm, or claimed while it booted
//
// It belongs to the loop, but for what is immutable once ready is closed.
type prepared struct {
	ready chan struct{}
	// The following are immutable once ready is closed. err is set when there
	// is no sandbox.
	gen      *generation
	kind     config.Standby
	manifest checkpoint.Manifest // of seq
	err      error

	// seq is the checkpoint that it is restored from, 0 while it isn't. It is
	// immutable once claimed.
	seq   checkpoint.Seq
	begun time.Time
	// before is the processors' time that the supervisor, which serves it its
	// memory, had taken when it was begun.
	before time.Duration
	since  time.Time // when it was ready
	// claimed: a recovery has it. dropped: nobody wants it any more.
	claimed, dropped bool
	// loaded: all memory of a hot one is there. beside: until then there is
	// room for the one whose place it takes.
	loaded, beside bool
}

// fits reports whether a recovery to checkpoint seq can use it.
func (p *prepared) fits(seq checkpoint.Seq) bool { return p.seq == 0 || p.seq == seq }

// wait returns once it is made. Errors: why there is none.
func (p *prepared) wait(ctx context.Context) error {
	if p == nil {
		return errNoStandby
	}
	select {
	case <-p.ready:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prepareStandby makes a standby in the background, which takes the place of
// the one there is.
func (e *Engine) prepareStandby(choice standby.Choice) {
	s := &e.standby
	if s.givenUp() {
		return
	}
	p := &prepared{ready: make(chan struct{}), kind: choice.Kind, beside: choice.Beside, begun: time.Now(), before: e.processorTime(nil)}
	s.coming = p
	network, hot := e.network, p.kind == config.StandbyHot
	e.background(func() {
		gen, err := e.boot(e.ctx, bootWish{network: network, fenced: hot})
		if !e.post(func() { e.standbyBooted(p, gen, err) }) && gen != nil {
			e.destroyNow(gen)
		}
	})
}

// standbyBooted goes on with a standby that has a sandbox: it may have been
// claimed by a recovery meanwhile, which knows what to load, or not be wanted
// any more.
func (e *Engine) standbyBooted(p *prepared, gen *generation, err error) {
	p.gen = gen
	if gen != nil {
		e.live[gen], e.dirty = true, true
	}
	switch {
	case p.dropped:
		e.destroyPrepared(p)
	case errors.Is(err, sandbox.ErrNotFenced):
		e.standbyNotHot(p, err)
	case err != nil:
		e.standbyLost(p, fmt.Errorf("prepare standby: %w", err))
	case gen.gone:
		e.destroyPrepared(p)
		e.standbyLost(p, fmt.Errorf("prepare standby: %w", sandbox.ErrGone))
	case p.claimed || p.kind != config.StandbyHot:
		p.kind = config.StandbyWarm
		e.standbyReady(p)
	default:
		e.loadStandby(p)
	}
}

// loadStandby restores the newest checkpoint in a sandbox, which then holds it.
func (e *Engine) loadStandby(p *prepared) {
	p.seq = e.machine.Head()
	e.background(func() {
		ctx, cancel := context.WithTimeout(e.ctx, restoreTime)
		defer cancel()
		img, err := e.opts.Store.Open(ctx, p.seq)
		if err == nil {
			p.manifest = img.Manifest()
			err = p.gen.Restore(ctx, img)
		}
		e.post(func() { e.standbyLoaded(p, err) })
	})
}

func (e *Engine) standbyLoaded(p *prepared, err error) {
	switch {
	case p.dropped:
		e.destroyPrepared(p)
	case err != nil:
		e.destroyPrepared(p)
		if errors.Is(err, checkpoint.ErrDamaged) {
			e.removeDamaged(p.seq, err)
		}
		e.standbyNotHot(p, fmt.Errorf("restore checkpoint %d: %w", p.seq, err))
	default:
		e.standby.renewed = time.Now()
		e.standbyReady(p)
		e.awaitStandbyPages(p)
	}
}

// awaitStandbyPages sees a standby, which could be used already, get the rest
// of its memory: that too is paid for, and has to end before the next begins.
func (e *Engine) awaitStandbyPages(p *prepared) {
	e.background(func() {
		if p.gen.Loaded(e.ctx) != nil {
			return // it is gone, which others see
		}
		work := e.processorTime(p.gen) - p.before
		e.post(func() {
			p.loaded = true
			e.standby.took, e.standby.work, e.standby.renewed = time.Since(p.begun), work, time.Now()
			e.placeStandby()
			e.tendStandby()
		})
	})
}

// standbyReady puts a standby in its place, unless a recovery has it.
func (e *Engine) standbyReady(p *prepared) {
	p.since = time.Now()
	close(p.ready)
	if p.claimed {
		return
	}
	e.log.Debug("standby is ready", "kind", p.kind, "generation", p.gen.number, "checkpoint", p.seq)
	e.placeStandby()
	e.tendStandby()
}

// placeStandby puts the standby that is to come in its place once it is ready.
// One whose memory is still being loaded leaves it to one that has all of it,
// as long as a first attempt would use that: its handler waits for no page.
func (e *Engine) placeStandby() {
	s := &e.standby
	p := s.coming
	if p == nil || p.since.IsZero() {
		return
	}
	if !p.loaded && p.beside && s.next != nil && s.next.loaded && e.standbyFollows() {
		return
	}
	e.destroyPrepared(s.next)
	s.next, s.coming, e.dirty = p, nil, true
}

// standbyLost ends the preparation of a standby that there won't be.
func (e *Engine) standbyLost(p *prepared, err error) {
	p.err = err
	close(p.ready)
	if e.standby.coming == p {
		e.standby.coming = nil
	}
	e.standbyFailed(err)
}

// standbyNotHot ends the preparation of a hot standby, and lets there be a
// lesser one.
func (e *Engine) standbyNotHot(p *prepared, err error) {
	p.err = err
	close(p.ready)
	e.log.Warn("standby can't be hot", "error", err)
	e.standby.notHot = failure.Bound(err.Error(), episode.MaxReason)
	if e.standby.coming == p {
		e.standby.coming = nil
		e.tendStandby()
	}
}

// dropPrepared has a standby destroyed, as soon as it is made. nil is none.
func (e *Engine) dropPrepared(p *prepared) {
	if p == nil {
		return
	}
	p.dropped = true
	if !p.since.IsZero() {
		e.destroyPrepared(p)
	}
}

// destroyPrepared destroys a standby that nothing is being done to.
func (e *Engine) destroyPrepared(p *prepared) {
	if p == nil {
		return
	}
	if p.gen != nil {
		e.destroy(p.gen)
	}
}

// processorTime is the processors' time that this process, and the sandbox gen
// where it isn't nil, have taken so far.
func (e *Engine) processorTime(gen *generation) time.Duration {
	if e.opts.ProcessorTime == nil {
		return 0
	}
	pids := []int{os.Getpid()}
	if gen != nil {
		pids = append(pids, gen.Pids()...)
	}
	return e.opts.ProcessorTime(pids)
}
