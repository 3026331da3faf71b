package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// maxEvents is how many events of a sandbox wait for the loop before the
// sandbox layer is held back.
const maxEvents = 16

// generation is a sandbox as the engine sees it. Its fields belong to the
// loop, but for those set by boot, which are immutable.
type generation struct {
	sandbox.Sandbox
	container sandbox.Container
	number    int
	record    statedir.Generation
	events    chan sandbox.Event
	// admitted is closed when events may reach the loop: not before the
	// generation is the current one, so that a copy's first failure can't
	// overtake the news of its release.
	admitted chan struct{}
	// heard is closed when it has said its last before it was admitted.
	heard chan struct{}
	// buried is closed, by bury, once it is destroyed: it won't be admitted any
	// more.
	buried chan struct{}
	bury   func()
	paused bool
	// pausing is set while a pause or resume is under way, for which
	// pauseReplies wait.
	pausing      bool
	pauseReplies []chan<- error
	// from is the checkpoint that it was released from, 0 for none.
	from    checkpoint.Seq
	failing bool // stopped at a failure that isn't answered yet
	ended   bool // its Exit has been seen
	gone    bool // died before it was admitted
	// damage is what is wrong with the checkpoint that it was loading when it
	// was killed for that, before it was admitted.
	damage error
}

// bootWish is what is asked of a boot.
type bootWish struct {
	network sandbox.Network  // nil for the first generation
	files   map[int]*os.File // for the program, by its numbers
	fenced  bool             // see BootOptions
}

// boot makes the next generation. It may be called from any goroutine.
func (e *Engine) boot(ctx context.Context, w bootWish) (*generation, error) {
	n := int(e.lastNumber.Add(1))
	opts := e.opts.Template
	opts.Generation = n
	opts.ID = e.opts.GenerationID(n)
	opts.Root = e.opts.GenerationRoot(n)
	opts.Config = e.opts.Config
	opts.Network = w.network
	opts.Fenced = w.fenced
	opts.Containers = slices.Clone(opts.Containers)
	opts.Containers[0].PassFiles = w.files
	events := make(chan sandbox.Event, maxEvents)
	opts.Events = events
	g, err := e.opts.Boot(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("boot sandbox: %w", err)
	}
	buried := make(chan struct{})
	gen := &generation{
		Sandbox:   g,
		container: g.Container(opts.Containers[0].Name),
		buried:    buried,
		bury:      sync.OnceFunc(func() { close(buried) }),
		number:    n,
		record:    statedir.Generation{Number: n, ID: opts.ID, Root: opts.Root},
		events:    events,
		admitted:  make(chan struct{}),
		heard:     make(chan struct{}),
	}
	for _, pid := range g.Pids() {
		if p, err := statedir.FindProcess(pid); err == nil {
			gen.record.Processes = append(gen.record.Processes, p)
		}
	}
	go e.watch(gen)
	return gen, nil
}

// watch passes a generation's events to the loop until its sandbox is gone.
func (e *Engine) watch(gen *generation) {
	for _, ev := range e.keepEarly(gen) {
		e.post(func() { e.handle(gen, ev) })
	}
	for ev := range gen.events {
		e.post(func() { e.handle(gen, ev) })
	}
	e.post(func() { e.handle(gen, sandbox.Event{Exited: &sandbox.Exit{Crashed: true, Err: sandbox.ErrGone}}) })
}

// keepEarly keeps the events of a sandbox until it is admitted or destroyed, and
// tells when it is gone before that.
func (e *Engine) keepEarly(gen *generation) (early []sandbox.Event) {
	events := gen.events
	for {
		select {
		case <-gen.admitted:
			return early
		case <-gen.buried:
			return nil
		case <-e.closed:
			return nil
		case ev, ok := <-events:
			if ok && ev.Damaged != nil {
				e.post(func() { e.damagedEarly(gen, ev.Damaged) })
			}
			if ok {
				early = append(early, ev)
			} else {
				e.post(func() { e.standbyGone(gen) })
			}
			if !ok || len(early) == maxEvents {
				events = nil
				close(gen.heard)
			}
		}
	}
}

// lastWords returns when all that a sandbox that is gone has said before it was
// admitted has been posted.
func (g *generation) lastWords(ctx context.Context) {
	select {
	case <-g.heard:
	case <-g.buried:
	case <-ctx.Done():
	}
}

// handle acts on an event of a sandbox. Those of a sandbox that has been
// replaced are too late.
func (e *Engine) handle(gen *generation, ev sandbox.Event) {
	if gen != e.current || gen.ended {
		return
	}
	switch {
	case ev.Exited != nil:
		e.exited(gen, *ev.Exited)
	case ev.Damaged != nil:
		e.damaged(gen, ev.Damaged)
	case gen.failing:
		// It is stopped: whatever it says now wasn't said by the program.
	case ev.Failure != nil:
		e.failed(gen, *ev.Failure)
	case ev.Checkpoint != nil:
		e.programCheckpoint(gen, *ev.Checkpoint)
	case ev.Resolved:
		e.step(recovery.Resolved{})
	}
}

// exited handles the end of the current generation, by its program's doing or
// by the sandbox's death.
func (e *Engine) exited(gen *generation, x sandbox.Exit) {
	gen.ended = true
	now := time.Now()
	e.clock.stop(now)
	e.ckpt.abort()
	e.answerFail(sandbox.ErrGone)
	e.log.Info("sandbox ended", "generation", gen.number, "status", x.Status, "crashed", x.Crashed, "error", x.Err)
	switch {
	case !x.Crashed:
		e.step(recovery.Exited{Status: x.Status})
	case !e.started:
		e.step(recovery.Shutdown{Status: 128 + sigKill})
	case e.signals.stopping(now) && !e.recovering():
		e.step(recovery.Exited{Status: 128 + sigKill})
	default:
		e.noteDeath(now)
		e.step(recovery.SandboxDied{OutOfMemory: e.outOfMemory(), RunTime: e.clock.read(now), Now: now, Held: e.standby.holds()})
	}
}

// damaged handles the end of the current generation because the checkpoint that
// it was released from is damaged.
func (e *Engine) damaged(gen *generation, err error) {
	gen.ended = true
	now := time.Now()
	e.clock.stop(now)
	e.ckpt.abort()
	e.answerFail(sandbox.ErrGone)
	e.log.Error("checkpoint is damaged", "generation", gen.number, "checkpoint", gen.from, "error", err)
	switch e.machine.Phase {
	case recovery.Probation:
		e.recovery = recoveryState{failedAt: now} // of the failure that it was to avoid
	default:
		e.noteDeath(now)
	}
	e.step(recovery.CopyDamaged{
		Seq: gen.from, Reason: failure.Bound(err.Error(), episode.MaxReason), RunTime: e.clock.read(now), Now: now,
	})
}

// outOfMemory reports whether the kernel has killed something in the cgroup
// since the last time.
func (e *Engine) outOfMemory() bool {
	if e.opts.OOMKills == nil {
		return false
	}
	n := e.opts.OOMKills()
	grown := n > e.oomSeen
	e.oomSeen = n
	return grown
}

// makeCurrent makes gen the generation that is spoken of.
func (e *Engine) makeCurrent(gen *generation) {
	e.current = gen
	e.dirty = true
	close(gen.admitted)
}

// register notes a sandbox made in the background, so that state.json names
// it from then on. It reports false when the container is over; the caller
// then destroys it.
func (e *Engine) register(gen *generation) bool {
	return e.post(func() {
		e.live[gen] = true
		e.dirty = true
	})
}

// destroy removes a sandbox in the background.
func (e *Engine) destroy(gen *generation) {
	e.background(func() {
		e.destroyNow(gen)
		e.post(func() {
			delete(e.live, gen)
			e.dirty = true
		})
	})
}

func (e *Engine) destroyNow(gen *generation) {
	defer gen.bury()
	if err := gen.Destroy(); err != nil && !errors.Is(err, sandbox.ErrGone) {
		e.log.Error("destroy sandbox", "generation", gen.number, "error", err)
	}
}

// Pids reports whether pid is a process of a sandbox that still exists, for
// the reaper.
func (s Snapshot) Owns(pid int) bool {
	for _, g := range s.Generations {
		for _, p := range g.Processes {
			if p.Pid == pid {
				return true
			}
		}
	}
	return false
}
