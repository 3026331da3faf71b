package supervisor

import (
	"context"
	"time"

	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/reaper"
)

// answerGrace is the time for answers to commands that wait for the container's
// end, before the supervisor exits.
const answerGrace = time.Second

// serve owns the created container to its end.
func (s *supervisor) serve(ctx context.Context) int {
	helpers, stop := context.WithCancel(ctx)
	defer stop()
	go reaper.Run(helpers, s.keepsStatus)
	go s.forwardSignals(helpers)
	exit := s.engine.Run(ctx)
	s.leaveNetwork()
	s.closeServer()
	s.log.Info("supervisor exits", "status", exit.Status)
	return exit.Status
}

// keepsStatus reports whether a child's status is waited for elsewhere than in the
// reaper: by its sandbox, or by a boot under way, whose children have no names yet.
func (s *supervisor) keepsStatus(pid int) bool {
	snap := s.latest.Load()
	return s.booting.Load() > 0 || snap != nil && snap.Owns(pid)
}

// closeServer ends the server, once commands that wait for the container's end are
// answered.
func (s *supervisor) closeServer() {
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close()
	}
}

// abandon ends a container that could not be created. Its files and mounts are the
// creator's to clean up.
func (s *supervisor) abandon(ctx context.Context, why error) {
	if s.log != nil {
		s.log.Error("container abandoned", "error", why)
	}
	if s.engine == nil {
		return
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s.engine.Run(ended)
	if s.server != nil {
		s.closeServer()
	}
}

// saveState writes state.json.
func (s *supervisor) saveState(snap engine.Snapshot) {
	state := s.base
	state.Status, state.Sandboxes, state.Exit = snap.Status, snap.Generations, snap.Exit
	state.Standby, state.CheckpointError = snap.Standby, snap.CheckpointError
	if err := state.Save(s.opts.Dir); err != nil {
		s.log.Error("state not saved", "error", err)
	}
}
