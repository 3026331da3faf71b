package soak

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// A program that changes its memory in every way at random, under checkpoints
// one after the other and a rollback now and then. Every checkpoint is
// compared with all of memory, byte for byte: nothing is missed. MUTATE_SECONDS
// in the environment says how long, 60 by default.
func TestNothingIsMissed(t *testing.T) {
	seconds := 60
	if s := os.Getenv("MUTATE_SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		seconds = n
	}
	t.Run("auto", func(t *testing.T) { mutate(t, "auto", seconds) })
	t.Run("contents", func(t *testing.T) { mutate(t, "contents", seconds/3) })
}

func mutate(t *testing.T, tracking string, seconds int) {
	rt := harness.New(t)
	seed := time.Now().UnixNano()
	b := rt.Bundle([]string{"/bin/mutate", strconv.Itoa(seconds), strconv.FormatInt(seed, 10)}, "mutate")
	b.Recover("interval", "50ms").Recover("max-overhead", "100%").Recover("max-rate", "100000").Recover("grace", "100ms").Recover("tracking", tracking)
	c := rt.Start(b)
	c.Says("ready", 1)
	rollbacks := 0
	for end := time.Now().Add(time.Duration(seconds-5) * time.Second); time.Now().Before(end); {
		time.Sleep(min(5*time.Second, time.Until(end)))
		rt.Do("fail", "--code", strconv.Itoa(rollbacks), c.ID)
		rollbacks++
		c.Recovered(rollbacks)
	}
	taken := newest(c)
	tracked := c.Checkpoints()[0].Pages.Tracking
	c.Exits(0)
	log := c.Log()
	missed := strings.Count(log, "misses a change")
	t.Logf("seed %d: %d checkpoints compared, %d differ; tracked by %s; %d rollbacks; %s", seed, taken, missed, tracked, rollbacks, c.Output())
	if missed > 0 {
		t.Error(log)
	}
	if taken < uint64(seconds) {
		t.Errorf("only %d checkpoints in %d seconds: %s", taken, seconds, log)
	}
}

func newest(c *harness.Container) uint64 {
	l := c.Checkpoints()
	return l[len(l)-1].Seq
}
