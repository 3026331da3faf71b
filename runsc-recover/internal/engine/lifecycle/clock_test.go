package lifecycle

import (
	"testing"
	"time"

	"runsc-recover/test/expect"
)

func TestRunClock(t *testing.T) {
	now := time.Unix(1000, 0)
	after := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	var c runClock
	expect.Equal(t, "before", c.read(now), 0)
	c.start(after(0))
	expect.Equal(t, "running", c.read(after(2)), 2*time.Second)
	c.stop(after(3))
	c.stop(after(9))
	expect.Equal(t, "standing", c.read(after(9)), 3*time.Second)
	c.start(after(10))
	c.start(after(11))
	expect.Equal(t, "on", c.read(after(12)), 5*time.Second)
	c.set(time.Second)
	expect.Equal(t, "set back", c.read(after(20)), time.Second)
}
