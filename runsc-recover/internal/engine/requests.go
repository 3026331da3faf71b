package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/lifecycle"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// pending is a command's request that isn't answered yet.
type pending struct {
	id     uint64
	answer chan answer // holds one
	// signal was handed to a sandbox, 0 for none. Owned by the loop, and readable
	// once the container is over.
	signal int
	// done is set once the signal has reached the sandbox, or the program was
	// started: the container may be over before the loop hears of that.
	done atomic.Bool
}

// answer is the answer to a command.
type answer struct {
	err      error
	handle   *handle // the running sandbox
	version  uint64  // for lifecycle.SandboxAsked
	manifest checkpoint.Manifest
	view     lifecycle.View
}

func (e *Engine) newRequest() *pending {
	return &pending{id: e.lastRequest.Add(1), answer: make(chan answer, 1)}
}

// reply answers a command once all that has happened is saved.
func (e *Engine) reply(a action.Reply) {
	p := e.requests[a.Request]
	if p == nil {
		return
	}
	delete(e.requests, a.Request)
	out := answer{handle: e.sandboxes[a.Generation], version: a.Version, manifest: a.Manifest}
	if a.View {
		out.view = e.life.View(e.clock.now())
	}
	if a.Err != nil {
		out.err = a.Err
	}
	e.recorder.do(func() { p.answer <- out })
}

// ask hands a request to the loop and waits for its answer. Errors: ErrNotRunning
// when the container ends first.
func (e *Engine) ask(ctx context.Context, asked func(id uint64) event.Event) (answer, error) {
	p := e.newRequest()
	select {
	case e.inbox <- message{event: asked(p.id), request: p}:
	case <-e.closed:
		return answer{}, errdefs.ErrNotRunning
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	select {
	case a := <-p.answer:
		return a, a.err
	case <-e.over:
	case <-ctx.Done():
		go e.post(event.RequestDropped{Request: p.id})
		return answer{}, fmt.Errorf("wait for the recovery under way: %w", ctx.Err())
	}
	select {
	case a := <-p.answer: // the answer came just before the end
		return a, a.err
	default:
	}
	if p.done.Load() || p.signal != 0 && e.exit.Status == 128+p.signal {
		return answer{}, nil // a signal has ended the container, perhaps before its sandbox could say so
	}
	return answer{}, errdefs.ErrNotRunning
}

// withSandbox calls f with the running sandbox, after a recovery that is under
// way. When the sandbox fails or dies meanwhile f is called again with the copy.
func (e *Engine) withSandbox(ctx context.Context, f func(ctx context.Context, h *handle) error) error {
	after := uint64(0)
	for {
		a, err := e.ask(ctx, func(id uint64) event.Event { return event.SandboxAsked{Request: id, After: after} })
		if err != nil {
			return err
		}
		if after = a.version; a.handle == nil {
			continue
		}
		err = f(ctx, a.handle)
		if !errors.Is(err, sandbox.ErrFailing) && !errors.Is(err, sandbox.ErrGone) {
			return e.explain(err)
		}
	}
}

// explain returns why a request came to nothing: once the container is over,
// because of that, whatever its sandbox's last words were.
func (e *Engine) explain(err error) error {
	select {
	case <-e.closed:
		if err != nil {
			return errdefs.ErrNotRunning
		}
	default:
	}
	return err
}

// wait returns when the container is over.
func (e *Engine) wait(ctx context.Context) error {
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Start runs the program, or brings it back from the store.
func (e *Engine) Start(ctx context.Context) error {
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.StartAsked{Request: id} })
	if err != nil && e.opts.Resume != nil && errors.Is(err, errdefs.ErrNotRunning) {
		return fmt.Errorf("bring container back from its store; its episodes say more: %w", err)
	}
	return err
}

// Signal sends an operator's signal to the program, in whatever sandbox it runs
// by then.
func (e *Engine) Signal(ctx context.Context, r api.SignalRequest) error {
	_, err := e.ask(ctx, func(id uint64) event.Event {
		return event.SignalAsked{Request: id, Signal: r.Signal, All: r.All}
	})
	return err
}

// SignalForeground signals the foreground processes of the container's terminal.
func (e *Engine) SignalForeground(ctx context.Context, sig int) error {
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.ForegroundAsked{Request: id, Signal: sig} })
	return err
}

// Pause implements api.Service.
func (e *Engine) Pause(ctx context.Context) error { return e.setPaused(ctx, true) }

// Resume implements api.Service.
func (e *Engine) Resume(ctx context.Context) error { return e.setPaused(ctx, false) }

func (e *Engine) setPaused(ctx context.Context, paused bool) error {
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.PauseAsked{Request: id, Paused: paused} })
	return err
}

// Processes implements api.Service.
func (e *Engine) Processes(ctx context.Context) (out []api.Process, err error) {
	err = e.withSandbox(ctx, func(ctx context.Context, h *handle) error {
		procs, err := h.container.Processes(ctx)
		out = nil
		for _, p := range procs {
			out = append(out, api.Process(p))
		}
		return err
	})
	return out, err
}

// Generation implements api.Service.
func (e *Engine) Generation(ctx context.Context) (out api.Generation, err error) {
	err = e.withSandbox(ctx, func(_ context.Context, h *handle) error {
		where := h.Handle()
		out = api.Generation{Number: h.generation, Root: where.Root, ID: where.ID}
		return nil
	})
	return out, err
}

// KillExec implements api.Service.
func (e *Engine) KillExec(ctx context.Context, p api.ExecProcess) error {
	return e.withSandbox(ctx, func(ctx context.Context, h *handle) error {
		if h.generation != p.Generation {
			return nil
		}
		return h.container.KillProcess(ctx, p.PID)
	})
}

// Checkpoint implements api.Service.
func (e *Engine) Checkpoint(ctx context.Context) (checkpoint.Manifest, error) {
	a, err := e.ask(ctx, func(id uint64) event.Event { return event.CheckpointAsked{Request: id} })
	return a.manifest, unsavable(err)
}

// SaveImage implements api.Service. Without LeaveRunning the container is over
// once the image is written.
func (e *Engine) SaveImage(ctx context.Context, r api.SaveImageRequest) error {
	err := e.withSandbox(ctx, func(ctx context.Context, h *handle) error {
		return h.SaveImage(ctx, r.ImagePath, r.LeaveRunning)
	})
	if err != nil || r.LeaveRunning {
		return unsavable(err)
	}
	return e.Shutdown(ctx)
}

func unsavable(err error) error {
	if errors.Is(err, sandbox.ErrUnsavable) {
		return &errdefs.Error{Code: errdefs.CodeUnsavable, Message: err.Error(), Next: "the program runs on; try again later", Err: err}
	}
	return err
}

// Checkpoints implements api.Service.
func (e *Engine) Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error) {
	a, err := e.ask(ctx, func(id uint64) event.Event { return event.Looked{Request: id} })
	if err != nil {
		return nil, err
	}
	bad := make(map[checkpoint.Seq]error)
	for _, b := range a.view.Bad {
		bad[b.Seq] = errors.New(b.Text)
	}
	return api.EntriesOf(a.view.Kept, bad, a.view.Reasons), nil
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
	e.post(event.CheckpointForgotten{Seq: seq})
	return nil
}

// Fail implements api.Service.
func (e *Engine) Fail(ctx context.Context, r api.FailRequest) error {
	f := failure.State{Kind: failure.Operator, Code: r.Code, Message: failure.Bound(r.Message, failure.MaxMessage)}
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.FailAsked{Request: id, Failure: f} })
	return err
}

// Wait implements api.Service.
func (e *Engine) Wait(ctx context.Context) (api.ExitStatus, error) {
	if err := e.wait(ctx); err != nil {
		return api.ExitStatus{}, err
	}
	return api.ExitStatus{Status: e.exit.Status, At: e.exit.At}, nil // written before over was closed
}

// Shutdown implements api.Service.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.post(event.ShutdownAsked{Status: 128 + sigKill})
	return e.wait(ctx)
}

// Alive reports whether there is still a container, once all that has happened is
// saved. Errors: ErrNotRunning.
func (e *Engine) Alive(ctx context.Context) error {
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.Looked{Request: id} })
	return err
}

// MemoryChanged has programs find the container's new memory limit.
func (e *Engine) MemoryChanged(ctx context.Context) error {
	_, err := e.ask(ctx, func(id uint64) event.Event { return event.MemoryLimitChanged{Request: id} })
	return err
}
