package save

import (
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// percent returns the garbage collector's percentage.
func percent() int {
	p := debug.SetGCPercent(-1)
	debug.SetGCPercent(p)
	return p
}

// A sandbox collects as usual some time after it has booted, and never while
// it is saved, whichever of the two ends first.
func TestCollector(t *testing.T) {
	usual := percent()
	defer debug.SetGCPercent(usual)
	for _, tc := range []struct {
		name  string
		saved time.Duration // how long it is saved, from when it has booted on
	}{
		{"saved before", bootedAfter / 2},
		{"saved meanwhile", 2 * bootedAfter},
	} {
		synctest.Test(t, func(t *testing.T) {
			var c Collector
			expect := func(when string, want int) {
				t.Helper()
				if got := percent(); got != want {
					t.Errorf("%s: %s: %d%%, want %d%%", tc.name, when, got, want)
				}
			}
			c.Boot()
			expect("booting", bootPercent)
			c.Booted()
			c.stop()
			time.Sleep(tc.saved)
			expect("saved", -1)
			c.start()
			time.Sleep(2 * bootedAfter)
			synctest.Wait()
			expect("in the end", usual)
		})
	}
}
