package lifecycle

import "time"

// runClock counts a program's run time along the lineage that led to
// the running copy. It stands while the program is paused or stopped at a
// failure.
type runClock struct {
	base  time.Duration
	since time.Time // zero while the clock stands
}

// set puts the clock to base, standing.
func (c *runClock) set(base time.Duration) { *c = runClock{base: base} }

func (c *runClock) start(now time.Time) {
	if c.since.IsZero() {
		c.since = now
	}
}

func (c *runClock) stop(now time.Time) {
	c.base, c.since = c.read(now), time.Time{}
}

func (c *runClock) read(now time.Time) time.Duration {
	if c.since.IsZero() {
		return c.base
	}
	return c.base + max(0, now.Sub(c.since))
}
