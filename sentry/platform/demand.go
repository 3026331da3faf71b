package platform

import (
	"gvisor.dev/gvisor/pkg/sentry/platform"
)

// demandUnit is how much of a program's memory is mapped at once while it is
// still being loaded: a task waits for all of it. gVisor's own choice, 32 MiB,
// takes a tenth of a second to come.
const demandUnit = 64 << 10

// onDemand is a platform for copies that run before their memory is there.
type onDemand struct {
	platform.Platform
	// loading reports whether memory is still being loaded. It is called on
	// task goroutines, at each mapping.
	loading func() bool
}

// MapUnit implements platform.Platform.
func (p *onDemand) MapUnit() uint64 {
	if p.loading() {
		return demandUnit
	}
	return p.Platform.MapUnit()
}
