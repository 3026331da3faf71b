package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

const (
	// firstDelay is how soon after its start a program is checkpointed, so
	// that an early failure has something to go back to. It is past what a
	// program does before it knows its handlers, and short of the interval.
	firstDelay = 100 * time.Millisecond
	// maxWaiting bounds the program's threads that wait in RECOVER_CHECKPOINT;
	// more are turned away.
	maxWaiting = 1024
	// answerTime bounds answering one of them.
	answerTime = 10 * time.Second
)

// errOvertaken: the program failed or ended before its checkpoint counted.
var errOvertaken = errors.New("program failed during the checkpoint")

// operatorRequest is a command that waits for a checkpoint.
type operatorRequest chan<- operatorResult

type operatorResult struct {
	manifest checkpoint.Manifest
	err      error
}

// checkpoints is the engine's account of checkpoints: what there is, what is
// being taken, who waits for one.
type checkpoints struct {
	manifests []checkpoint.Manifest // published, ascending
	bad       map[checkpoint.Seq]error
	last      checkpoint.Seq // highest number ever used
	timer     *time.Timer
	running   *takenCheckpoint // being taken, published or followed by removals
	program   []wire.CheckpointRequest
	operator  []operatorRequest
	problem   string // why the last one could not be taken
	failures  int    // in a row
	// usedBefore is the memory in use before the last one was taken.
	usedBefore uint64
	// tight is set once memory was too short to keep what pauses are made
	// short with.
	tight   bool
	spacing spacing
}

// takenCheckpoint is a checkpoint that is being taken.
type takenCheckpoint struct {
	gen    *generation
	cancel context.CancelFunc
	// worth ends, by leave, when the checkpoint isn't to be kept: taken to its
	// end, since the sandbox takes it, but not published.
	worth    context.Context
	leave    context.CancelCauseFunc
	program  []wire.CheckpointRequest
	operator []operatorRequest
}

// load learns what the store holds from before. A store that can't be read is
// a problem to report, not one to end the container for.
func (c *checkpoints) load(ctx context.Context, store checkpoint.Store) {
	good, bad, err := store.List(ctx)
	if err != nil {
		c.problem = err.Error()
		return
	}
	c.manifests, c.bad = good, bad
	for _, m := range good {
		c.last = max(c.last, m.Seq)
	}
	for seq := range bad {
		c.last = max(c.last, seq)
	}
}

// newestBytes is what the newest one added to the store.
func (c *checkpoints) newestBytes() int64 {
	if len(c.manifests) == 0 {
		return 0
	}
	return c.manifests[len(c.manifests)-1].Bytes()
}

func (c *checkpoints) drop(seq checkpoint.Seq) {
	c.manifests = slices.DeleteFunc(c.manifests, func(m checkpoint.Manifest) bool { return m.Seq == seq })
	delete(c.bad, seq)
}

// abort gives up the checkpoint under way because the program failed or
// ended: the failure wins. The program's requests go with the program.
func (c *checkpoints) abort() {
	c.timer = stopTimer(c.timer)
	c.program = nil
	if c.running != nil {
		c.running.cancel()
	}
}

// stop is abort for good.
func (c *checkpoints) stop() {
	c.abort()
	for _, r := range c.operator {
		r <- operatorResult{err: errdefs.ErrNotRunning}
	}
	c.operator = nil
}

// scheduleFirstCheckpoint is for a program that has just begun. One that was
// quick to ask for a checkpoint has its next by the interval.
func (e *Engine) scheduleFirstCheckpoint() {
	if t := e.ckpt.running; e.ckpt.timer != nil || t != nil && t.gen == e.current {
		return
	}
	e.scheduleAfter(min(firstDelay, e.opts.Config.Interval))
}

// scheduleCheckpoint sets the timer for the next checkpoint of the interval.
func (e *Engine) scheduleCheckpoint() {
	delay, reason := e.ckpt.spacing.next(e.opts.Config, e.ckpt.failures, time.Now())
	e.log.Debug("next checkpoint", "after", delay, "reason", reason)
	e.scheduleAfter(delay)
}

func (e *Engine) scheduleAfter(delay time.Duration) {
	e.ckpt.timer = stopTimer(e.ckpt.timer)
	if !e.opts.Config.Enabled {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(delay, func() {
		e.post(func() {
			if e.ckpt.timer == t { // not replaced or stopped meanwhile
				e.ckpt.timer = nil
				e.takeCheckpoint(checkpoint.TriggerInterval)
			}
		})
	})
	e.ckpt.timer = t
}

// programCheckpoint notes a thread that waits in RECOVER_CHECKPOINT.
func (e *Engine) programCheckpoint(gen *generation, r wire.CheckpointRequest) {
	if !e.opts.Config.Enabled || len(e.ckpt.program) >= maxWaiting {
		e.answerProgram(gen, []wire.CheckpointRequest{r}, errors.New("no checkpoint can be taken"))
		return
	}
	e.ckpt.program = append(e.ckpt.program, r)
	e.takeCheckpoint(checkpoint.TriggerProgram)
}

// operatorCheckpoint takes a checkpoint for a command.
func (e *Engine) operatorCheckpoint(ctx context.Context) (checkpoint.Manifest, error) {
	reply := make(chan operatorResult, 1)
	_, err := ask(ctx, e, func() (struct{}, error) {
		switch {
		case !e.begun || e.exit != nil:
			return struct{}{}, errdefs.ErrNotRunning
		case !e.opts.Config.Enabled:
			return struct{}{}, e.rejected([]string{"recovery is not enabled"})
		}
		e.ckpt.operator = append(e.ckpt.operator, reply)
		e.takeCheckpoint(checkpoint.TriggerOperator)
		return struct{}{}, nil
	})
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	select {
	case r := <-reply:
		return r.manifest, unsavable(r.err)
	case <-e.over:
		return checkpoint.Manifest{}, errdefs.ErrNotRunning
	case <-ctx.Done():
		return checkpoint.Manifest{}, ctx.Err()
	}
}

// takeCheckpoint begins a checkpoint, unless one is under way or the program
// can't be checkpointed now. Those who wait then get the next one.
func (e *Engine) takeCheckpoint(why checkpoint.Trigger) {
	c := &e.ckpt
	paused := why == checkpoint.TriggerInterval && e.current.paused
	if c.running != nil || !e.started || e.exit != nil || e.current.failing || e.current.ended || e.recovering() || paused {
		return
	}
	c.timer = stopTimer(c.timer)
	ctx, cancel := context.WithCancel(e.ctx)
	t := &takenCheckpoint{gen: e.current, cancel: cancel, program: c.program, operator: c.operator}
	t.worth, t.leave = context.WithCancelCause(ctx)
	c.program, c.operator, c.running = nil, nil, t
	c.last++
	m := e.opts.Identity
	m.Seq, m.Parent, m.Trigger, m.Generation = c.last, e.machine.Head(), why, t.gen.number
	m.RunTime = e.clock.read(time.Now())
	coming := c.newestBytes()
	asked := time.Now()
	paused = t.gen.paused
	e.background(func() {
		defer cancel()
		defer t.leave(nil)
		err := e.makeRoom(ctx)
		e.shrinkStore(ctx, coming)
		if err == nil {
			m, err = t.capture(ctx, e.opts.Store, m, func(at time.Time) time.Duration {
				if paused {
					return 0
				}
				return at.Sub(asked)
			})
		}
		e.post(func() { e.checkpointTaken(t, m, err) })
	})
}

// capture takes and publishes one checkpoint. aged says how much older the
// program got from when it was asked for.
func (t *takenCheckpoint) capture(ctx context.Context, store checkpoint.Store, m checkpoint.Manifest, aged func(time.Time) time.Duration) (checkpoint.Manifest, error) {
	st, err := store.Stage(ctx, m.Parent)
	if err != nil {
		return m, fmt.Errorf("stage checkpoint: %w", err)
	}
	defer st.Discard()
	begun := time.Now()
	res, err := t.gen.Checkpoint(ctx, m.Seq, st)
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

// boundCost makes a sandbox's claim of what a checkpoint cost fit into the
// time that it took.
func boundCost(c checkpoint.Cost, took time.Duration) checkpoint.Cost {
	for _, d := range []*time.Duration{&c.Stop, &c.Kernel, &c.Copy} {
		*d = min(max(0, *d), took)
		took -= *d
	}
	return c
}

// checkpointTaken ends a checkpoint: it counts, unless the program failed or
// was replaced meanwhile.
func (e *Engine) checkpointTaken(t *takenCheckpoint, m checkpoint.Manifest, err error) {
	overtaken := t.gen != e.current || t.gen.failing || t.gen.ended || e.recovering()
	switch {
	case err == nil && overtaken:
		e.dropPublished(t, m)
		return
	case err == nil:
		e.checkpointCounts(t, m)
	case overtaken:
		e.requeue(t)
		e.ckpt.running = nil
	default:
		e.checkpointFailed(t, err)
	}
	e.continueCheckpoints()
}

// checkpointCounts makes a published checkpoint part of the running line.
func (e *Engine) checkpointCounts(t *takenCheckpoint, m checkpoint.Manifest) {
	c := &e.ckpt
	c.manifests = append(c.manifests, m)
	c.failures = 0
	e.setProblem("")
	c.spacing.note(m)
	e.log.Debug("checkpoint taken", "seq", m.Seq, "trigger", m.Trigger, "pause", m.Cost.Pause(), "publish", m.Cost.Publish, "bytes", m.Bytes())
	e.step(recovery.CheckpointTaken{Seq: m.Seq, RunTime: m.RunTime, Asked: m.Trigger.Asked()})
	e.answerProgram(t.gen, t.program, nil)
	for _, r := range t.operator {
		r <- operatorResult{manifest: m}
	}
	e.tendStandby()
	e.retain()
}

// dropPublished removes a checkpoint that was published when the program had
// already failed: the recovery under way was decided on without it.
func (e *Engine) dropPublished(t *takenCheckpoint, m checkpoint.Manifest) {
	e.requeue(t)
	e.background(func() {
		e.removeNow([]checkpoint.Seq{m.Seq})
		e.post(func() {
			e.ckpt.running = nil
			e.continueCheckpoints()
		})
	})
}

// requeue lets the commands that waited for a checkpoint wait for the copy's.
func (e *Engine) requeue(t *takenCheckpoint) {
	e.ckpt.operator = append(t.operator, e.ckpt.operator...)
}

func (e *Engine) checkpointFailed(t *takenCheckpoint, err error) {
	c := &e.ckpt
	c.running = nil
	c.failures++
	e.setProblem(failure.Bound(err.Error(), failure.MaxMessage))
	e.log.Warn("checkpoint", "error", err, "failures", c.failures)
	e.answerProgram(t.gen, t.program, err)
	for _, r := range t.operator {
		r <- operatorResult{err: err}
	}
}

// setProblem notes why no checkpoint can be taken; empty when one can.
func (e *Engine) setProblem(why string) {
	e.dirty = e.dirty || e.ckpt.problem != why
	e.ckpt.problem = why
}

// continueCheckpoints takes the next one for those who wait, or at its time.
func (e *Engine) continueCheckpoints() {
	switch {
	case e.ckpt.running != nil:
	case len(e.ckpt.program) > 0:
		e.takeCheckpoint(checkpoint.TriggerProgram)
	case len(e.ckpt.operator) > 0:
		e.takeCheckpoint(checkpoint.TriggerOperator)
	case e.ckpt.timer == nil:
		e.scheduleCheckpoint()
	}
}

// answerProgram lets threads return from RECOVER_CHECKPOINT.
func (e *Engine) answerProgram(gen *generation, requests []wire.CheckpointRequest, err error) {
	if len(requests) == 0 {
		return
	}
	e.background(func() {
		ctx, cancel := context.WithTimeout(e.ctx, answerTime)
		defer cancel()
		for _, r := range requests {
			if err := gen.CheckpointDone(ctx, r, err); err != nil && !errors.Is(err, sandbox.ErrGone) {
				e.log.Warn("answer program's checkpoint request", "error", err)
			}
		}
	})
}
