package save

import (
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
)

// Track returns p with dirty tracking of the program's memory, or p itself where
// the host's kernel can't track the sentry's own writes: then captures compare
// contents. It is called for each platform that gVisor makes, first before the
// seccomp filters are installed.
func (s *Saver) Track(p platform.Platform) platform.Platform {
	s.trackOnce.Do(func() {
		tracker, err := dirtytrack.New()
		if err != nil {
			log.Infof("recover: no dirty tracking of memory: %v", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tracker, s.capturer = tracker, capture.New(tracker)
	})
	if s.tracker != nil {
		p = s.tracker.Wrap(p)
	}
	return p
}
