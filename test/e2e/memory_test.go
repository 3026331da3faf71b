package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/harness"
)

// A program that uses most of its memory limit is never killed for memory that a
// checkpoint needs. Where there is no room for a checkpoint, that is said.
func TestAMemoryLimitHoldsCheckpointsToo(t *testing.T) {
	rt := harness.New(t)
	for _, durability := range []string{"memory", "disk"} {
		for _, limit := range []int64{160, 240, 500} {
			// The program is small at its first checkpoint.
			b := rt.Shell("sleep 0.5; exec /bin/behave hold 100", "behave").Recover("durability", durability).Recover("interval", "24h")
			limit := limit << 20
			b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
			c := rt.Start(b.Write())
			c.Says("ready", 1)
			refused := ""
			for range 5 {
				if r := rt.Try("checkpoint", "--into-store", c.ID); r.Code != 0 {
					refused = r.Stderr
				}
			}
			s := c.State()
			n := 0
			if s.Status == "running" {
				n = len(c.Checkpoints())
			}
			facts := fmt.Sprintf("%s, limit %d MiB: %s, %d checkpoints, %s", durability, limit>>20, s.Status, n, strings.TrimSpace(refused))
			t.Log(facts)
			if s.Status != "running" || len(c.Episodes()) > 0 || refused != "" && !strings.Contains(refused, "memory limit") {
				t.Errorf("%s; %+v", facts, c.Episodes())
			}
			c.Delete("--force")
		}
	}
}

// A program that grows to its memory limit at once gets the memory that its
// checkpoints and its standby took. It has no checkpoint then, and is told of
// by state.
func TestAProgramGrowsIntoItsLimit(t *testing.T) {
	rt := harness.New(t)
	// The program is small at its first checkpoint.
	b := rt.Shell("sleep 0.5; exec /bin/behave grow 100 270", "behave").Recover("interval", "200ms").Recover("max-overhead", "50%").
		Recover("verify", "false") // which takes all of memory again
	limit := int64(512 << 20)
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	c := rt.Start(b.Write())
	c.Says("ready", 1)
	harness.Until(t, 20*time.Second, "all of memory in a checkpoint", func() (bool, string) {
		for _, cp := range c.Checkpoints() {
			if cp.Pages.Bytes > 100<<20 {
				return true, ""
			}
		}
		return false, c.Log()
	})
	rt.Do("kill", c.ID, "USR1")
	c.Says("grown", 1)
	if n := len(c.Episodes()); n != 0 {
		t.Errorf("%d episodes: %+v", n, c.Episodes())
	}
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}
