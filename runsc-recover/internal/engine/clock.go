package engine

import "time"

// clock is the engine's: it goes on evenly from the wall time at which it began,
// whatever becomes of the host's wall clock. Its times have no monotonic reading,
// so that those in a log are as good as the originals.
type clock struct {
	began time.Time // with a monotonic reading
}

func newClock() clock { return clock{began: time.Now()} }

func (c clock) now() time.Time { return c.at(time.Now()) }

// at is a moment that was read by time.Now.
func (c clock) at(t time.Time) time.Time { return c.began.Round(0).Add(t.Sub(c.began)).UTC() }

// wall is the wall time of a moment of this clock's, for people.
func (c clock) wall(t time.Time) time.Time { return time.Now().Round(0).Add(t.Sub(c.now())) }
