package supervisor

import (
	"context"
	"time"

	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/reaper"
)

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

// keepsStatus reports whether somebody else waits for a child.
func (s *supervisor) keepsStatus(pid int) bool {
	snap := s.latest.Load()
	return s.booting.Load() > 0 || snap != nil && snap.Owns(pid)
}

// closeServer lets those who waited for the end hear of it.
func (s *supervisor) closeServer() {
	ctx, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close()
	}
}

// abandon ends a container that could not be created. What is on the disk is
// the creator's to clean up.
func (s *supervisor) abandon(ctx context.Context, why error) {
	if s.log != nil {
		s.log.Error("abandon container", "error", why)
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

// answerGrace is how long those who wait for the container's end have to be
// told before the supervisor exits.
const answerGrace = time.Second

func (s *supervisor) saveState(snap engine.Snapshot) {
	s.latest.Store(&snap)
	state := s.base
	state.Status, state.Generations, state.Exit = snap.Status, snap.Generations, snap.Exit
	state.Standby, state.CheckpointError = snap.Standby, snap.CheckpointError
	if err := state.Save(s.opts.Dir); err != nil {
		s.log.Error("save state", "error", err)
	}
}
