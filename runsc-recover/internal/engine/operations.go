package engine

import (
	"context"
	"errors"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// Start implements api.Service.
func (e *Engine) Start(ctx context.Context) error { return e.start(ctx) }

// Signal implements api.Service.
func (e *Engine) Signal(ctx context.Context, r api.SignalRequest) error {
	return e.signal(ctx, r.Signal, r.All)
}

// Pause implements api.Service.
func (e *Engine) Pause(ctx context.Context) error { return e.setPaused(ctx, true) }

// Resume implements api.Service.
func (e *Engine) Resume(ctx context.Context) error { return e.setPaused(ctx, false) }

// Processes implements api.Service.
func (e *Engine) Processes(ctx context.Context) ([]api.Process, error) {
	var out []api.Process
	err := e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		procs, err := gen.container.Processes(ctx)
		out = nil
		for _, p := range procs {
			out = append(out, api.Process(p))
		}
		return err
	})
	return out, err
}

// Generation implements api.Service.
func (e *Engine) Generation(ctx context.Context) (api.Generation, error) {
	var out api.Generation
	err := e.withGeneration(ctx, func(_ context.Context, gen *generation) error {
		h := gen.Handle()
		out = api.Generation{Number: gen.number, Root: h.Root, ID: h.ID}
		return nil
	})
	return out, err
}

// KillExec implements api.Service.
func (e *Engine) KillExec(ctx context.Context, p api.ExecProcess) error {
	gen, err := ask(ctx, e, func() (*generation, error) {
		if e.current.number != p.Generation {
			return nil, nil
		}
		return e.current, nil
	})
	if err != nil || gen == nil {
		return err
	}
	return gen.container.KillProcess(ctx, p.PID)
}

// Checkpoint implements api.Service.
func (e *Engine) Checkpoint(ctx context.Context) (checkpoint.Manifest, error) {
	return e.operatorCheckpoint(ctx)
}

// SaveImage implements api.Service. Without LeaveRunning the container is
// over once the image is written.
func (e *Engine) SaveImage(ctx context.Context, r api.SaveImageRequest) error {
	err := e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		return gen.SaveImage(ctx, r.ImagePath, r.LeaveRunning)
	})
	if err != nil || r.LeaveRunning {
		return unsavable(err)
	}
	e.post(func() { e.step(recovery.Shutdown{Status: 128 + sigKill}) })
	return e.wait(ctx)
}

// Checkpoints implements api.Service.
func (e *Engine) Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error) {
	return ask(ctx, e, func() ([]api.CheckpointEntry, error) { return e.listCheckpoints(), nil })
}

// VerifyCheckpoint implements api.Service.
func (e *Engine) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return e.opts.Store.Verify(ctx, seq)
}

// RemoveCheckpoint implements api.Service.
func (e *Engine) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	if err := e.opts.Store.Remove(ctx, seq); err != nil {
		return err
	}
	e.post(func() { e.forgetCheckpoint(seq) })
	return nil
}

// Fail implements api.Service.
func (e *Engine) Fail(ctx context.Context, r api.FailRequest) error {
	f := failure.State{Kind: failure.Operator, Code: r.Code, Message: failure.Bound(r.Message, failure.MaxMessage)}
	return e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		return e.operatorFail(ctx, gen, f)
	})
}

// Wait implements api.Service.
func (e *Engine) Wait(ctx context.Context) (api.ExitStatus, error) {
	if err := e.wait(ctx); err != nil {
		return api.ExitStatus{}, err
	}
	x := e.exit // written before over was closed
	return api.ExitStatus{Status: x.Status, At: x.At}, nil
}

// Shutdown implements api.Service.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.post(func() { e.step(recovery.Shutdown{Status: 128 + sigKill}) })
	return e.wait(ctx)
}

func unsavable(err error) error {
	if errors.Is(err, sandbox.ErrUnsavable) {
		return &errdefs.Error{Code: errdefs.CodeUnsavable, Message: err.Error(), Next: "the program runs on; try again later", Err: err}
	}
	return err
}

// Alive reports whether there is still a container. Errors: ErrNotRunning.
func (e *Engine) Alive(ctx context.Context) error {
	_, err := ask(ctx, e, func() (struct{}, error) { return struct{}{}, nil })
	return err
}

// MemoryChanged has the program find the container's new memory limit.
func (e *Engine) MemoryChanged(ctx context.Context) error {
	// Sandboxes that are made later are told before they run.
	gens, err := ask(ctx, e, func() ([]*generation, error) { return []*generation{e.current, e.copy}, nil })
	for _, gen := range gens {
		if gen != nil {
			e.tellMemory(ctx, gen)
		}
	}
	return err
}

// SignalForeground signals the foreground processes of the container's
// terminal.
func (e *Engine) SignalForeground(ctx context.Context, sig int) error {
	return e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		return e.deliverForeground(ctx, gen, sig)
	})
}
