package save

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// bootPercent is the garbage collector's percentage while a sandbox boots
	// and a copy is loaded. The heap is small then and grows fast, so that by
	// the usual percentage collecting it takes a tenth of all that work.
	bootPercent = 400
	// bootedAfter is how long a loaded copy has the processors for its handlers
	// before the heap is collected.
	bootedAfter = 200 * time.Millisecond
)

// Collector decides when this process's garbage is collected: rarely while the
// sandbox boots, never in a pause. Boot is the first call of all.
type Collector struct {
	mu sync.Mutex
	// The following are guarded by mu.

	percent, usual int
	// stopped is set while nothing is collected.
	stopped bool
}

// Boot makes collections rare until some time after Booted.
func (c *Collector) Boot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usual = debug.SetGCPercent(bootPercent)
	c.percent = bootPercent
}

// Booted has garbage collected soon, and as usual from then on. A held copy's
// release then needs no fresh memory, which would cost it a millisecond: the
// collected heap was touched before.
func (c *Collector) Booted() {
	time.AfterFunc(bootedAfter, func() {
		if c.useUsual() {
			runtime.GC()
		}
	})
}

// useUsual reports whether garbage may be collected now.
func (c *Collector) useUsual() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.percent = c.usual
	if c.stopped {
		return false
	}
	debug.SetGCPercent(c.percent)
	return true
}

// stop keeps a collection from beginning until start.
func (c *Collector) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	debug.SetGCPercent(-1)
}

func (c *Collector) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = false
	debug.SetGCPercent(c.percent)
}
