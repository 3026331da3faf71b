package engine

import (
	"errors"
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

const (
	// standbyGuess is the memory that a booted sandbox takes, tookGuess the
	// time that a hot standby takes to prepare, and workGuess the processors'
	// time, before one was measured.
	standbyGuess = 48 << 20
	tookGuess    = 200 * time.Millisecond
	workGuess    = 200 * time.Millisecond
	// maxStandbyFailures bounds how often in a row a standby that can't be
	// made, or dies, is replaced before the next recovery.
	maxStandbyFailures = 5
	// standbyRetry is the delay after the first failure; it doubles.
	standbyRetry = time.Second
	// standbyStable is how long one must have lived for its death not to
	// count as another failure in a row.
	standbyStable = time.Minute
)

// errNoStandby says that there is none to use.
var errNoStandby = errors.New("there is no standby")

// standbyState is the engine's account of the sandbox that is kept ready for the
// next recovery, and of the one that is to take its place.
type standbyState struct {
	next   *prepared // ready; nil for none
	coming *prepared // being made, or loading its memory; nil for none
	reason string    // why it is as it is
	// notHot says why a hot one can't be had until the next recovery.
	notHot string
	memory map[config.Standby]uint64 // what the last one of a kind took
	// took and work are the time, and the processors' time, that the last hot
	// one took to prepare.
	took, work time.Duration
	renewed    time.Time // when the last hot one was ready
	weighing   bool
	failures   int // in a row
	timer      *time.Timer
	waiting    bool // for the timer, after a failure
}

// wantsStandby reports whether a recovery could use one.
func (e *Engine) wantsStandby() bool {
	return e.opts.Config.Enabled && e.opts.Config.Standby != config.StandbyCold &&
		e.exit == nil && e.network != nil && len(e.machine.Lineage) > 0 && !e.recovering()
}

// tendStandby sees to it that there is the standby that there should be. It is
// called whenever something that this depends on has changed.
func (e *Engine) tendStandby() {
	e.placeStandby()
	s := &e.standby
	if s.weighing || s.coming != nil || !e.wantsStandby() || s.next == nil && s.givenUp() {
		return
	}
	s.weighing = true
	in, next := e.standbyInput(), s.next
	e.background(func() {
		measured, err := e.measure(&in, next)
		e.post(func() {
			s.weighing = false
			if measured > 0 {
				s.memory[next.kind] = measured
			}
			if err != nil {
				e.log.Warn("weigh standby", "error", err)
				s.reason = failure.Bound(err.Error(), episode.MaxReason)
				return
			}
			e.decideStandby(next, standby.Choose(in))
		})
	})
}

// givenUp reports whether none is to be made, for now or until the next
// recovery.
func (s *standbyState) givenUp() bool { return s.waiting || s.failures > maxStandbyFailures }

// standbyInput is what the decision about a standby depends on, as far as the
// loop knows it.
func (e *Engine) standbyInput() standby.ChoiceInput {
	s := &e.standby
	in := standby.ChoiceInput{
		Asked:      e.opts.Config.Standby,
		MaxMemory:  e.opts.Config.StandbyMemory,
		Warm:       standbyGuess,
		HotRefused: s.notHot,
	}
	if n := s.memory[config.StandbyWarm]; n > 0 {
		in.Warm = n
	}
	var size uint64
	if n := len(e.ckpt.manifests); n > 0 {
		newest := e.ckpt.manifests[n-1]
		size, in.Pages = uint64(newest.Bytes()), uint64(newest.Pages.Bytes)
	}
	in.Hot = s.memory[config.StandbyHot]
	if s.next != nil {
		in.Held = s.next.kind
	}
	if e.opts.Config.Durability == config.DurabilityMemory {
		in.Checkpoint = size + roomMargin
	}
	if in.HotRefused == "" && !e.standbyFollows() {
		_, in.HotRefused = e.refreshEvery()
	}
	return in
}

// standbyFollows reports whether there is a hot standby that a first attempt
// would use. It stays as long as that is so, even where it can't be renewed
// for a while.
func (e *Engine) standbyFollows() bool {
	p := e.standby.next
	if p == nil || p.kind != config.StandbyHot || len(e.machine.Lineage) == 0 {
		return false
	}
	newest := e.machine.Lineage[len(e.machine.Lineage)-1]
	return newest.RunTime-p.manifest.RunTime <= e.opts.Config.StandbyLag
}

// refreshEvery says how often a hot standby may be renewed, or why it can't
// be.
func (e *Engine) refreshEvery() (time.Duration, string) {
	took, work := e.standby.took, e.standby.work
	if time.Since(e.standby.renewed) > standbyStable {
		took, work = tookGuess, workGuess // the host may have been busy then
	}
	return standby.Refresh(standby.RefreshInput{
		SpacingInput: e.ckpt.spacing.input(e.opts.Config),
		Asked:        e.opts.Config.Standby,
		Took:         took,
		Work:         work,
		MaxLag:       e.opts.Config.StandbyLag,
	})
}

// measure completes in with what memory there is, and returns what the standby
// next takes, 0 for none or unknown.
func (e *Engine) measure(in *standby.ChoiceInput, next *prepared) (uint64, error) {
	var measured uint64
	if next != nil && e.opts.ProcessMemory != nil {
		measured = e.opts.ProcessMemory(next.gen.Pids())
		if next.kind == config.StandbyHot {
			in.Hot = measured
		} else {
			in.Warm = measured
		}
	}
	if e.opts.Memory == nil {
		return measured, nil
	}
	use, err := e.opts.Memory()
	if err != nil {
		return measured, fmt.Errorf("read memory use: %w", err)
	}
	in.Limit, in.Used = use.Limit, use.Used
	return measured, nil
}

// decideStandby acts on a choice that was made while next was the standby.
func (e *Engine) decideStandby(next *prepared, choice standby.Choice) {
	s := &e.standby
	if s.next != next || s.coming != nil || !e.wantsStandby() {
		return
	}
	e.dirty = e.dirty || s.reason != choice.Reason
	s.reason = choice.Reason
	switch {
	case choice.Kind == config.StandbyCold:
		e.dropStandby(choice.Reason)
	case next == nil:
		e.prepareStandby(choice)
	case choice.Kind == config.StandbyWarm && next.kind == config.StandbyHot:
		e.dropStandby(choice.Reason)
		e.prepareStandby(choice)
	case choice.Kind == config.StandbyHot && next.seq != e.machine.Head():
		e.renewStandby(choice)
	}
}

// renewStandby replaces the standby by a hot one of the newest checkpoint, as
// soon as that is paid for.
func (e *Engine) renewStandby(choice standby.Choice) {
	s := &e.standby
	every, refused := e.refreshEvery()
	if refused != "" || s.next.kind == config.StandbyHot && !s.next.loaded {
		return // until checkpoints leave enough, or it is there
	}
	if left := every - time.Since(s.renewed); s.next.kind == config.StandbyHot && left > 0 {
		e.tendLater(left)
		return
	}
	e.prepareStandby(choice)
}

func (e *Engine) tendLater(delay time.Duration) {
	s := &e.standby
	stopTimer(s.timer)
	s.timer = time.AfterFunc(delay, func() {
		e.post(func() {
			s.waiting = false
			e.tendStandby()
		})
	})
}

// standbyFailed has a standby replaced after a while, a bounded number of
// times.
func (e *Engine) standbyFailed(err error) {
	s := &e.standby
	s.failures++
	s.reason = failure.Bound(err.Error(), episode.MaxReason)
	s.waiting, e.dirty = true, true
	e.log.Warn("standby is lost", "error", err, "failures", s.failures)
	if s.failures <= maxStandbyFailures {
		e.tendLater(standbyRetry << (s.failures - 1))
	}
}

// standbyGone notes that a sandbox died before it was of use. One that is
// being worked with is found by who does.
func (e *Engine) standbyGone(gen *generation) {
	gen.gone = true
	s := &e.standby
	p := s.of(gen)
	if p == nil {
		return
	}
	if time.Since(p.since) >= standbyStable {
		s.failures = 0
	}
	e.destroyPrepared(p)
	if p == s.next {
		s.next = nil
	} else {
		s.coming = nil
	}
	e.standbyFailed(fmt.Errorf("standby: %w", sandbox.ErrGone))
}

// of returns the standby with the sandbox gen if it is ready; nil for none.
func (s *standbyState) of(gen *generation) *prepared {
	for _, p := range []*prepared{s.next, s.coming} {
		if p != nil && !p.since.IsZero() && p.gen == gen {
			return p
		}
	}
	return nil
}

// damagedEarly notes that what a copy is loading is damaged, before it runs.
func (e *Engine) damagedEarly(gen *generation, err error) {
	gen.damage = err
	if p := e.standby.of(gen); p != nil {
		e.removeDamaged(p.seq, err)
	}
}

// removeDamaged removes a checkpoint that a standby could not be restored from.
// Without it, the next one doesn't refer to its pages.
func (e *Engine) removeDamaged(seq checkpoint.Seq, err error) {
	e.log.Error("checkpoint is damaged", "checkpoint", seq, "error", err)
	e.step(recovery.CheckpointRemoved{Seq: seq})
	e.removeCheckpoints([]checkpoint.Seq{seq})
}

// dropStandby gives the standby up.
func (e *Engine) dropStandby(reason string) {
	s := &e.standby
	if s.next == nil && s.coming == nil {
		return
	}
	e.log.Info("standby is given up", "reason", reason)
	e.dropPrepared(s.next)
	e.dropPrepared(s.coming)
	s.next, s.coming, s.reason, e.dirty = nil, nil, reason, true
}

// claimStandby hands a recovery to checkpoint seq the best there is for it,
// which it may have to wait for; nil when there is none. What isn't of use to
// it is destroyed: the program is about to take another course. Where the copy
// can run at once, it has the processors first.
func (e *Engine) claimStandby(seq checkpoint.Seq) *prepared {
	s := &e.standby
	best, other := s.next, s.coming
	if best == nil || !best.fits(seq) {
		best, other = other, best
	}
	if best != nil && !best.fits(seq) {
		e.dropPrepared(best)
		best = nil
	}
	if other != nil && best != nil && best.kind == config.StandbyHot && !best.since.IsZero() {
		other.dropped = true
		e.settle(func() { e.dropPrepared(other) })
	} else {
		e.dropPrepared(other)
	}
	if best != nil {
		best.claimed = true
	}
	s.next, s.coming, s.waiting, e.dirty = nil, nil, false, true
	s.timer = stopTimer(s.timer)
	return best
}

// standbyAfterRecovery prepares the next one.
func (e *Engine) standbyAfterRecovery() {
	e.standby.failures, e.standby.notHot = 0, ""
	e.tendStandby()
}

// holds is the checkpoint that a hot standby waits in, 0 for none.
func (s *standbyState) holds() checkpoint.Seq {
	if s.next == nil {
		return 0
	}
	return s.next.seq
}

// stop forgets it: its sandboxes are destroyed with all others.
func (s *standbyState) stop() {
	stopTimer(s.timer)
	*s = standbyState{}
}

// view is what state.json and the control socket show.
func (s *standbyState) view() statedir.Standby {
	if s.next == nil {
		return statedir.Standby{Kind: config.StandbyCold, Reason: s.reason}
	}
	return statedir.Standby{
		Kind: s.next.kind, Since: s.next.since, Generation: s.next.gen.number,
		Checkpoint: s.next.seq, Reason: s.reason,
	}
}
