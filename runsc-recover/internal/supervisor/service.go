package supervisor

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/specconv"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/cgroup"
)

// Service serves commands, from the engine and from the container's cgroup.
type Service struct {
	*engine.Engine
	cgroup *cgroup.Cgroup // nil when the container has none
}

var _ api.Service = (*Service)(nil)

// Stats implements api.Service.
func (s *Service) Stats(ctx context.Context) (api.Stats, error) {
	if err := s.Alive(ctx); err != nil {
		return api.Stats{}, err
	}
	if s.cgroup == nil {
		return api.Stats{}, unsupported(cgroup.ErrNone)
	}
	stats, err := s.cgroup.Stats()
	return api.Stats(stats), err
}

// Update implements api.Service.
func (s *Service) Update(ctx context.Context, r specs.LinuxResources) error {
	if s.cgroup == nil {
		return unsupported(cgroup.ErrNone)
	}
	if err := s.cgroup.Update(specconv.Enforceable(&r)); err != nil || r.Memory == nil {
		return err
	}
	return s.MemoryChanged(ctx)
}

func unsupported(err error) error {
	return &errdefs.Error{Code: errdefs.CodeUnsupported, Message: err.Error(), Next: "one that runs without privileges can't have one", Err: err}
}
