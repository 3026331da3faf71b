package agent

import (
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
)

// track makes the platform watch what the program writes, where the host's
// kernel helps with what the sentry writes. Without, captures compare
// contents.
func (a *Agent) track(p platform.Platform) platform.Platform {
	a.trackOnce.Do(func() {
		tracker, err := dirtytrack.New()
		if err != nil {
			log.Infof("recover: memory isn't watched: %v", err)
			return
		}
		a.captureMu.Lock()
		defer a.captureMu.Unlock()
		a.tracker, a.capturer = tracker, capture.New(tracker)
	})
	if a.tracker != nil {
		p = a.tracker.Wrap(p)
	}
	return p
}
