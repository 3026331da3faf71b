package sandbox

import (
	"runsc-recover/checkpoint/policy"
	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirty"
)

// Tracking is how sandboxes on this host that are to do as asked know what
// changed since a checkpoint.
func Tracking(asked policy.Tracking) string {
	if asked == policy.TrackingContents || dirty.Probe() != nil {
		return capture.Contents
	}
	return dirty.Name
}
