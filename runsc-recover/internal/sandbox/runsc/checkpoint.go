package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"

	gvsandbox "gvisor.dev/gvisor/runsc/sandbox"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// Checkpoint implements sandbox.Checkpointing.
func (s *instance) Checkpoint(ctx context.Context, seq checkpoint.Seq, st checkpoint.Staging) (sandbox.CheckpointResult, error) {
	files := []*os.File{
		st.File(checkpoint.FileKernel), st.File(checkpoint.FilePagesMeta),
		st.File(checkpoint.FilePageIndex), st.File(checkpoint.FileStaged),
	}
	take := &wire.TakeCheckpoint{Seq: uint64(seq), Parent: uint64(st.Parent())}
	if full := st.File(checkpoint.FileFull); full != nil {
		files = append(files, full)
		take.Full = true
	}
	// gVisor waits for the memory of a copy with the program stopped.
	if err := s.Loaded(ctx); err != nil {
		return sandbox.CheckpointResult{}, err
	}
	r, err := s.ask(ctx, saveTimeout, wire.Request{Verb: wire.VerbCheckpoint, Take: take}, files...)
	if err != nil {
		return sandbox.CheckpointResult{}, err
	}
	if r.Checkpoint == nil {
		return sandbox.CheckpointResult{}, fmt.Errorf("checkpoint: %w: reply without its cost", wire.ErrMalformed)
	}
	c := r.Checkpoint
	return sandbox.CheckpointResult{
		Cost:     checkpoint.Cost{Stop: max(c.Stop, 0), Kernel: max(c.Kernel, 0), Copy: max(c.Copy, 0)},
		Tracking: c.Tracking,
	}, nil
}

// CheckpointDone implements sandbox.Checkpointing.
func (s *instance) CheckpointDone(ctx context.Context, req wire.CheckpointRequest, cause error) error {
	_, err := s.ask(ctx, askTimeout, wire.Request{
		Verb: wire.VerbCheckpointDone,
		Done: &wire.CheckpointDone{TID: req.TID, Failed: cause != nil},
	})
	return err
}

// SaveImage implements sandbox.Checkpointing. A program that isn't to run on is
// frozen at the image for Destroy to end: gVisor's own way exits right after
// the image is complete, and now and then before it has answered.
func (s *instance) SaveImage(ctx context.Context, dir string, leaveRunning bool) error {
	if leaveRunning {
		return s.writeImage(ctx, dir)
	}
	if err := s.Pause(ctx); err != nil {
		return err
	}
	err := s.writeImage(ctx, dir)
	if err != nil {
		err = errors.Join(err, s.Resume(context.WithoutCancel(ctx)))
	}
	return err
}

func (s *instance) writeImage(ctx context.Context, dir string) error {
	return s.bounded(ctx, saveTimeout, "write image", func() error {
		return s.sb.Checkpoint(s.conf, s.id, dir, gvsandbox.CheckpointOpts{
			Compression: "none",
			Resume:      true,
		})
	})
}
