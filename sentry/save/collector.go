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
	// bootedAfter is how long after it is loaded a copy has the processors for
	// its handlers before the heap is collected.
	bootedAfter = 200 * time.Millisecond
)

// Collector is when this process's garbage is collected.
type Collector struct {
	mu sync.Mutex
	// The following are guarded by mu.

	percent, usual int
	// stopped is set while nothing is collected.
	stopped bool
}

// Boot makes collections rare until some time after booted.
func (c *Collector) Boot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usual = debug.SetGCPercent(bootPercent)
	c.percent = bootPercent
}

// Booted has garbage collected soon, and as usual from then on. A copy that is
// held has memory that was touched before for what its release needs: fresh
// memory would cost it a millisecond.
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
