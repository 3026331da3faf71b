package runsc

import (
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
)

// Tracking names the way in which sandboxes on this host find the pages that
// changed since a checkpoint, when the given way is asked for.
func Tracking(asked config.Tracking) string {
	if asked == config.TrackingContents || dirtytrack.Probe() != nil {
		return capture.Contents
	}
	return dirtytrack.Name
}
