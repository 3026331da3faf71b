package agent

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
	agent *Agent
}

// MapUnit implements platform.Platform.
func (p *onDemand) MapUnit() uint64 {
	if mf := p.agent.memory.Load(); mf != nil && mf.IsAsyncLoading() {
		return demandUnit
	}
	return p.Platform.MapUnit()
}
