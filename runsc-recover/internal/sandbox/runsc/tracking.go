package runsc

import (
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
)

// Tracking is how sandboxes on this host that are to do as asked know what
// changed since a checkpoint.
func Tracking(asked config.Tracking) string {
	if asked == config.TrackingContents || dirtytrack.Probe() != nil {
		return capture.Contents
	}
	return dirtytrack.Name
}
