package supervisor

import (
	"context"
	"errors"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/host/cgroup"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// Service is what commands ask of an engine, as the control server serves it.
type Service struct {
	engine *Engine
	cgroup cgroup.Cgroup // nil for none
}

var _ api.Service = (*Service)(nil)

// State implements control.Service.
func (s *Service) State(ctx context.Context) (api.State, error) {
	e := s.engine
	return ask(ctx, e, func() (api.State, error) {
		st := api.State{
			Status:          string(e.status()),
			Pid:             os.Getpid(),
			Generation:      e.current.number,
			Phase:           e.machine.Phase.String(),
			Episodes:        e.machine.Episodes,
			LastCheckpoint:  e.ckpt.newest(),
			CheckpointError: e.ckpt.problem,
			Standby:         e.standby.view(),
		}
		return st, nil
	})
}

// Start implements control.Service.
func (s *Service) Start(ctx context.Context) error { return s.engine.start(ctx) }

// Signal implements control.Service.
func (s *Service) Signal(ctx context.Context, r api.SignalRequest) error {
	return s.engine.signal(ctx, r.Signal, r.All)
}

// Pause implements control.Service.
func (s *Service) Pause(ctx context.Context) error { return s.engine.setPaused(ctx, true) }

// Resume implements control.Service.
func (s *Service) Resume(ctx context.Context) error { return s.engine.setPaused(ctx, false) }

// Processes implements control.Service.
func (s *Service) Processes(ctx context.Context) ([]api.Process, error) {
	var out []api.Process
	err := s.engine.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		procs, err := gen.Processes(ctx)
		out = nil
		for _, p := range procs {
			out = append(out, api.Process(p))
		}
		return err
	})
	return out, err
}

// Stats implements control.Service.
func (s *Service) Stats(ctx context.Context) (api.Stats, error) {
	if _, err := ask(ctx, s.engine, func() (struct{}, error) { return struct{}{}, nil }); err != nil {
		return api.Stats{}, err
	}
	if s.cgroup == nil {
		return api.Stats{}, unsupported(cgroup.ErrNone)
	}
	stats, err := s.cgroup.Stats()
	return api.Stats(stats), err
}

// Update implements control.Service.
func (s *Service) Update(ctx context.Context, r specs.LinuxResources) error {
	if s.cgroup == nil {
		return unsupported(cgroup.ErrNone)
	}
	if err := s.cgroup.Update(&r); err != nil || r.Memory == nil {
		return err
	}
	// What is made later is told before it runs.
	gens, err := ask(ctx, s.engine, func() ([]*generation, error) {
		return []*generation{s.engine.current, s.engine.copy}, nil
	})
	for _, gen := range gens {
		if gen != nil {
			s.engine.tellMemory(ctx, gen)
		}
	}
	return err
}

// Generation implements control.Service.
func (s *Service) Generation(ctx context.Context) (api.Generation, error) {
	var out api.Generation
	err := s.engine.withGeneration(ctx, func(_ context.Context, gen *generation) error {
		h := gen.Handle()
		out = api.Generation{Number: gen.number, Root: h.Root, ID: h.ID}
		return nil
	})
	return out, err
}

// KillExec implements control.Service.
func (s *Service) KillExec(ctx context.Context, p api.ExecProcess) error {
	e := s.engine
	gen, err := ask(ctx, e, func() (*generation, error) {
		if e.current.number != p.Generation {
			return nil, nil
		}
		return e.current, nil
	})
	if err != nil || gen == nil {
		return err
	}
	return gen.KillProcess(ctx, p.PID)
}

// Checkpoint implements control.Service.
func (s *Service) Checkpoint(ctx context.Context) (checkpoint.Manifest, error) {
	return s.engine.operatorCheckpoint(ctx)
}

// SaveImage implements control.Service. Without LeaveRunning the container is
// over once the image is written.
func (s *Service) SaveImage(ctx context.Context, r api.SaveImageRequest) error {
	e := s.engine
	err := e.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		return gen.SaveImage(ctx, r.ImagePath, r.LeaveRunning)
	})
	if err != nil || r.LeaveRunning {
		return unsavable(err)
	}
	e.post(func() { e.step(recovery.Shutdown{Status: 128 + sigKill}) })
	return e.wait(ctx)
}

// Checkpoints implements control.Service.
func (s *Service) Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error) {
	e := s.engine
	return ask(ctx, e, func() ([]api.CheckpointEntry, error) { return e.listCheckpoints(), nil })
}

// VerifyCheckpoint implements control.Service.
func (s *Service) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return s.engine.opts.Store.Verify(ctx, seq)
}

// RemoveCheckpoint implements control.Service.
func (s *Service) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	e := s.engine
	if err := e.opts.Store.Remove(ctx, seq); err != nil {
		return err
	}
	e.post(func() { e.forgetCheckpoint(seq) })
	return nil
}

// Episodes implements control.Service.
func (s *Service) Episodes(ctx context.Context) ([]api.Episode, error) {
	e := s.engine
	return ask(ctx, e, func() ([]api.Episode, error) {
		out := slices.Clone(e.journal.Episodes)
		for i := range out {
			out[i].Attempts = slices.Clone(out[i].Attempts)
		}
		return out, nil
	})
}

// Fail implements control.Service.
func (s *Service) Fail(ctx context.Context, r api.FailRequest) error {
	f := wire.Failure{Kind: wire.KindOperator, Code: r.Code, Message: wire.BoundText(r.Message, wire.MaxFailureMessage)}
	return s.engine.withGeneration(ctx, func(ctx context.Context, gen *generation) error {
		return s.engine.operatorFail(ctx, gen, f)
	})
}

// Wait implements control.Service.
func (s *Service) Wait(ctx context.Context) (api.ExitStatus, error) {
	if err := s.engine.wait(ctx); err != nil {
		return api.ExitStatus{}, err
	}
	x := s.engine.exit // written before over was closed
	return api.ExitStatus{Status: x.Status, At: x.At}, nil
}

// Shutdown implements control.Service.
func (s *Service) Shutdown(ctx context.Context) error {
	e := s.engine
	e.post(func() { e.step(recovery.Shutdown{Status: 128 + sigKill}) })
	return e.wait(ctx)
}

func unsupported(err error) error {
	return &errdefs.Error{Code: errdefs.CodeUnsupported, Message: err.Error(), Next: "one that runs without privileges can't have one", Err: err}
}

func unsavable(err error) error {
	if errors.Is(err, sandbox.ErrUnsavable) {
		return &errdefs.Error{Code: errdefs.CodeUnsavable, Message: err.Error(), Next: "the program runs on; try again later", Err: err}
	}
	return err
}
