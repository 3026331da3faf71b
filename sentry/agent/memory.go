package agent

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/sentry/usage"

	"runsc-recover/sentry/wire"
)

// setMemory serves VerbMemory: it sets the size of the memory, in bytes, that the
// program finds in /proc/meminfo and by sysinfo. gVisor itself sets it once,
// before any task runs, and tasks read it as plain words; each of the two stores
// is whole, and a task that reads between them reads one of the two sizes.
func setMemory(size uint64) *wire.Error {
	atomic.StoreUint64(&usage.MinimumTotalMemoryBytes, size)
	atomic.StoreUint64(&usage.MaximumTotalMemoryBytes, size)
	return nil
}
