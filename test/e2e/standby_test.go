package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

func lastAttempt(t *testing.T, c *harness.Container) harness.Attempt {
	t.Helper()
	episodes := c.Episodes()
	if len(episodes) == 0 || len(episodes[len(episodes)-1].Attempts) == 0 {
		t.Fatalf("no attempt in %+v", episodes)
	}
	attempts := episodes[len(episodes)-1].Attempts
	return attempts[len(attempts)-1]
}

// A sandbox is ready before the failure, becomes the copy, and is replaced.
func TestWarmStandby(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("standby", "warm").Recover("grace", "0s"))
	c.Says("ready", 1)
	generation := 0
	for i := range 3 {
		s := c.StandsBy("warm", generation)
		if s.Since.IsZero() || s.Reason == "" {
			t.Errorf("standby %+v", s)
		}
		generation = s.Generation
		rt.Do("fail", c.ID)
		c.Says("told level", i+1)
		if a := lastAttempt(t, c); a.Standby != "warm" {
			t.Errorf("attempt %+v", a)
		}
	}
}

// A copy is restored and held before the failure, follows the newest
// checkpoint, and is let go when it is needed.
func TestHotStandby(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/behave", "serve"}, "behave").
		Recover("interval", "500ms").Recover("max-overhead", "100%").
		Recover("standby", "hot").Recover("standby-lag", "1h").Recover("grace", "0s"))
	c.Says("ready", 1)
	generation := 0
	for i := range 3 {
		s := c.StandsBy("hot", generation)
		if s.Checkpoint == 0 {
			t.Errorf("standby %+v", s)
		}
		generation = c.StandsBy("hot", s.Generation).Generation // of the renewed standby
		rt.Do("fail", c.ID)
		c.Says("told level", i+1)
		if a := lastAttempt(t, c); a.Standby != "hot" {
			t.Errorf("attempt %+v", a)
		}
		c.Recovered(i + 1) // a failure before that would coincide
	}
}

// Without one, a sandbox is booted when it is needed.
func TestColdStandby(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("standby", "cold"))
	c.Says("ready", 1)
	c.HasCheckpoints(1)
	rt.Do("fail", c.ID)
	c.Says("told level 1", 1)
	if a := lastAttempt(t, c); a.Standby != "cold" {
		t.Errorf("attempt %+v", a)
	}
	if s := c.State().Standby; s.Kind != "cold" || s.Generation != 0 {
		t.Errorf("standby %+v", s)
	}
}

// A standby that is killed is replaced, and neither the program nor the next
// recovery takes notice.
func TestTheStandbyIsKilled(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("standby", "warm"))
	c.Says("ready", 1)
	s := c.StandsBy("warm", 0)
	pids := sandboxesOf(t, rt, c, s.Generation)
	if len(pids) == 0 {
		t.Fatal("the standby has no processes")
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH { // either process takes the other with it
			t.Error(err)
		}
	}
	c.StandsBy("warm", s.Generation)
	if n := len(c.Episodes()); n != 0 {
		t.Errorf("%d episodes", n)
	}
	rt.Do("fail", c.ID)
	c.Says("told level 1", 1)
	if a := lastAttempt(t, c); a.Standby != "warm" {
		t.Errorf("attempt %+v", a)
	}
}

// The container's memory limit leaves no room for a standby.
func TestStandbyNeedsRoom(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("standby-memory", "1MiB"))
	c.Says("ready", 1)
	c.HasCheckpoints(1)
	rt.Do("fail", c.ID)
	c.Says("told level 1", 1)
	if s := c.State().Standby; s.Kind != "cold" || !strings.Contains(s.Reason, "standby-memory") {
		t.Errorf("standby %+v", s)
	}
}

// sandboxesOf returns the host processes of a generation.
func sandboxesOf(t *testing.T, rt *harness.Runtime, c *harness.Container, generation int) []int {
	t.Helper()
	var state struct {
		Generations []struct {
			Number    int `json:"number"`
			Processes []struct {
				Pid int `json:"pid"`
			} `json:"processes"`
		} `json:"generations"`
	}
	text, err := os.ReadFile(filepath.Join(rt.Root, c.ID, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, g := range state.Generations {
		for _, p := range g.Processes {
			if g.Number == generation {
				pids = append(pids, p.Pid)
			}
		}
	}
	return pids
}
