package agent

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/sentry/usage"
)

// setMemory sets how much memory, in bytes, the program finds that it has: in
// /proc/meminfo and by sysinfo. gVisor itself sets it once, before any task
// runs, and tasks read it as plain words; each of the two stores is whole, and
// what is read between them is one of the two sizes.
func setMemory(size uint64) {
	atomic.StoreUint64(&usage.MinimumTotalMemoryBytes, size)
	atomic.StoreUint64(&usage.MaximumTotalMemoryBytes, size)
}
