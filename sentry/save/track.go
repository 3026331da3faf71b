package save

import (
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
)

// Track makes the platform watch what the program writes, where the host's
// kernel helps with what the sentry writes. Without, captures compare
// contents.
func (s *Saver) Track(p platform.Platform) platform.Platform {
	s.trackOnce.Do(func() {
		tracker, err := dirtytrack.New()
		if err != nil {
			log.Infof("recover: memory isn't watched: %v", err)
			return
		}
		s.captureMu.Lock()
		defer s.captureMu.Unlock()
		s.tracker, s.capturer = tracker, capture.New(tracker)
	})
	if s.tracker != nil {
		p = s.tracker.Wrap(p)
	}
	return p
}
