package engine

import (
	"context"
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// Resume says where a container goes on whose supervisor has died, and that
// is made again over its store.
type Resume struct {
	Seq checkpoint.Seq // 0 for where it was last
}

// whyBroughtBack is what the program and the records are told.
const whyBroughtBack = "the container's supervisor died; it was brought back from its store"

// takeUp makes the store's checkpoints the lineage, and continues the
// records, when the container is to go on from its store.
//
// Preconditions: Run has not been called.
func (e *Engine) takeUp() error {
	if e.opts.Resume == nil {
		return nil
	}
	if e.ckpt.problem != "" {
		return fmt.Errorf("read checkpoints to go on from: %s", e.ckpt.problem)
	}
	episodes, err := episode.Load(e.opts.EpisodesFile)
	if err != nil {
		return err
	}
	e.journal.TakeUp(episodes, time.Now())
	head, err := resumePoint(e.opts.Resume.Seq, e.ckpt.manifests, episodes)
	if err != nil {
		return err
	}
	e.machine = recovery.Resume(e.ckpt.manifests, head)
	if n := len(episodes); n > 0 {
		e.machine.Episodes = episodes[n-1].Episode
	}
	return nil
}

// resumePoint is the checkpoint that a container goes on from: the one asked
// for, or the newest, unless a recovery has gone back to another since. The
// manifests are by ascending number.
func resumePoint(asked checkpoint.Seq, manifests []checkpoint.Manifest, episodes []api.Episode) (checkpoint.Seq, error) {
	bySeq := make(map[checkpoint.Seq]bool)
	for _, m := range manifests {
		bySeq[m.Seq] = true
	}
	switch {
	case asked != 0 && !bySeq[asked]:
		return 0, errdefs.Errorf(errdefs.CodeCheckpointMissing, "%w: %d", checkpoint.ErrNotFound, asked)
	case asked != 0:
		return asked, nil
	case len(manifests) == 0:
		return 0, errdefs.Errorf(errdefs.CodeCheckpointMissing, "there is no checkpoint to go on from")
	}
	newest := manifests[len(manifests)-1]
	for i := len(episodes) - 1; i >= 0; i-- {
		n := len(episodes[i].Attempts)
		if n == 0 {
			continue
		}
		if last := episodes[i].Attempts[n-1]; last.FailedAt.After(newest.TakenAt) && bySeq[last.CheckpointSeq] {
			return last.CheckpointSeq, nil
		}
		break
	}
	return newest.Seq, nil
}

// bringBack recovers from the death of the sandbox that an earlier supervisor
// took with it, and returns once the copy runs. gen has never run: it showed
// that the container can be made.
func (e *Engine) bringBack(gen *generation) error {
	if e.opts.BeforeStart != nil {
		if err := e.opts.BeforeStart(e.ctx); err != nil {
			e.post(func() { e.step(recovery.Shutdown{Status: 1}) })
			return fmt.Errorf("start container: %w", err)
		}
	}
	e.post(func() {
		now := time.Now()
		gen.ended, e.begun = true, true
		e.failure = failure.State{Time: now, Message: whyBroughtBack}
		e.recovery = recoveryState{failedAt: now}
		line := e.machine.Lineage
		e.step(recovery.SandboxDied{RunTime: line[len(line)-1].RunTime, Now: now})
	})
	var network sandbox.Network
	err := e.withGeneration(e.ctx, func(ctx context.Context, gen *generation) (err error) {
		network, err = gen.Network(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("bring container back from its store; its episodes say more: %w", err)
	}
	e.post(func() {
		e.network = network
		e.tendStandby()
	})
	if e.opts.AfterStart != nil {
		e.background(func() { e.opts.AfterStart(e.ctx) })
	}
	return nil
}
