package engine

import (
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/test/expect"
)

func TestBoundCost(t *testing.T) {
	c := boundCost(checkpoint.Cost{Stop: time.Hour, Kernel: -1, Copy: time.Hour}, time.Second)
	expect.Equal(t, "pause", c.Pause(), time.Second)
	c = boundCost(checkpoint.Cost{Stop: 1, Kernel: 2, Copy: 3}, time.Second)
	expect.Equal(t, "honest", c.Pause(), 6)
}
