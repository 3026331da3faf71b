package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// behave makes a bundle in which the guest behaves as named, with no
// checkpoints but those it asks for.
func behave(rt *harness.Runtime, args ...string) *harness.Bundle {
	return rt.Bundle(append([]string{"/bin/behave"}, args...), "behave").Recover("interval", "24h")
}

// only returns the one episode that there must be.
func only(t *testing.T, episodes []harness.Episode) harness.Episode {
	t.Helper()
	if len(episodes) != 1 {
		t.Fatalf("%d episodes, want 1: %+v", len(episodes), episodes)
	}
	return episodes[0]
}

func TestAReportedFailure(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "report"))
	c.Exits(0)
	c.Says("failing\nrecovered\n", 1)
	e := only(t, c.Episodes())
	if e.Episode != 1 || e.Kind != "reported" || e.Code != 7 || e.Message != "the frobnicator is on fire" || len(e.Key) != 16 || e.Outcome != "recovered" {
		t.Errorf("episode %+v", e)
	}
	if len(e.Attempts) != 1 {
		t.Fatalf("attempts %+v", e.Attempts)
	}
	a := e.Attempts[0]
	if a.Attempt != 1 || a.Level != 1 || a.CheckpointSeq == 0 || a.Outcome != "recovered" || len(a.Reasons) == 0 {
		t.Errorf("attempt %+v", a)
	}
	if a.RestoreMS <= 0 || a.InterruptMS <= 0 || a.StopMS < 0 {
		t.Errorf("times of %+v", a)
	}
}

func TestAFatalSignal(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "segv"))
	c.Exits(0)
	e := only(t, c.Episodes())
	if e.Kind != "signal" || e.Signal != 11 || e.FaultAddr != "0x1000" || e.FaultIP == "0x0" || e.Outcome != "recovered" {
		t.Errorf("episode %+v", e)
	}
}

// No checkpoint was asked for: the ones taken at intervals are gone back to.
func TestIntervalCheckpointsAreEnough(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Bundle([]string{"/bin/behave", "interval", "1500"}, "behave").
		Recover("interval", "200ms").Recover("max-overhead", "50%"))
	c.Exits(0)
	c.Says("recovered", 1)
	only(t, c.Episodes())
}

func TestAProgramWithoutHandlersGetsNoSignal(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "nohandler"))
	c.Exits(0)
	c.Says("recovered", 1)
}

// The container ends as it would have ended without us when every attempt
// failed in the same way.
func TestExhausted(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "always").Recover("max-attempts", "3"))
	c.Exits(139)
	for i := range 4 {
		if line := fmt.Sprintf("attempt %d level %d\n", i, i); strings.Count(c.Output(), line) != 1 {
			t.Errorf("%q is not once in\n%s", line, c.Output())
		}
	}
	e := only(t, c.Episodes())
	if e.Outcome != "exhausted" || len(e.Attempts) != 3 {
		t.Errorf("episode %+v", e)
	}
	for _, a := range e.Attempts {
		if a.Outcome != "coinciding" || a.Level != a.Attempt {
			t.Errorf("attempt %+v", a)
		}
	}
}

// The newest checkpoint is tried twice, then each attempt goes back twice as
// far: 1, 2, 4 checkpoints.
func TestEscalationGoesBackInTime(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "ladder", "8").Recover("retain", "16").Recover("max-attempts", "5"))
	c.Exits(139)
	e := only(t, c.Episodes())
	if len(e.Attempts) != 5 {
		t.Fatalf("attempts %+v", e.Attempts)
	}
	newest := e.Attempts[0].CheckpointSeq
	if e.Attempts[1].CheckpointSeq != newest {
		t.Errorf("the newest was tried once: %+v", e.Attempts)
	}
	for i := 2; i < 5; i++ {
		if a := e.Attempts[i]; a.CheckpointSeq >= e.Attempts[i-1].CheckpointSeq || len(a.Reasons) == 0 {
			t.Errorf("attempt %d didn't go back further, or doesn't say why: %+v", i+1, e.Attempts)
		}
	}
}

func TestExhaustedRestartsFromTheBundle(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	// The bind mount tells the program how often it was started.
	shared := filepath.Join(rt.Dir, "shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	b := rt.Shell(`echo start >>/shared/starts; [ $(grep -c start /shared/starts) -lt 2 ] || { echo fresh; exit 0; }; exec /bin/behave always`, "behave")
	if err := os.Symlink("busybox", b.Rootfs("bin/grep")); err != nil {
		t.Fatal(err)
	}
	c := rt.Start(b.Mount(shared, "/shared").Recover("interval", "24h").Recover("max-attempts", "2").Recover("exhausted", "restart"))
	c.Exits(0)
	c.Says("fresh", 1)
}

// Each episode ends well, but there are too many of them.
func TestMaxRate(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "restless").Recover("max-rate", "3"))
	c.Exits(3)
	episodes := c.Episodes()
	if len(episodes) != 4 || episodes[3].Outcome != "exhausted" {
		t.Errorf("%d episodes: %+v", len(episodes), episodes)
	}
}

func TestOnExit(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "exit", "3").Recover("on", "report,signal,exit"))
	c.Exits(0)
	e := only(t, c.Episodes())
	if e.Kind != "exit" || e.Code != 3 || e.Outcome != "recovered" {
		t.Errorf("episode %+v", e)
	}
	c = rt.Start(behave(rt, "exit", "3"))
	c.Exits(3)
	if got := c.Episodes(); len(got) != 0 {
		t.Errorf("an exit was acted on by default: %+v", got)
	}
}

func TestTriggersThatAreOff(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	rt.Start(behave(rt, "always").Recover("on", "report")).Exits(139)
	rt.Start(behave(rt, "refused").Recover("on", "signal")).Exits(3)
	rt.Start(behave(rt, "off").Recover("enabled", "false")).Exits(3)
}

func TestAnotherInterruptSignal(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	// A shell that never attached, with a handler for the container's signal.
	c := rt.Start(rt.Shell(`trap 'echo told; exit 0' USR2; echo ready; while :; do sleep 0.1; done`).
		Recover("signal", "USR2").Recover("interval", "200ms"))
	c.Says("ready", 1)
	c.HasCheckpoints(2)
	rt.Do("fail", c.ID)
	c.Exits(0)
	c.Says("told", 1)
}

func TestFilesGoBackAndBindMountsDoNot(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	shared := filepath.Join(rt.Dir, "shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	b := behave(rt, "files").Mount(shared, "/shared")
	c := rt.Start(b)
	c.Exits(0)
	for _, name := range []string{"before", "after"} {
		if _, err := os.Stat(b.Rootfs(name)); err == nil {
			t.Errorf("/%s was written to the bundle's root file system", name)
		}
	}
}

// An operator's failure, the same pid before and after, and nothing changed
// for who looks at the container from outside.
func TestAnOperatorsFailure(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("grace", "100ms"))
	c.Says("ready", 1)
	before := c.State()
	rt.Do("fail", "--code", "11", "--message", "answers are wrong", c.ID)
	c.Says("told level 1 kind 7 code 11", 1)
	after := c.State()
	if before.Pid != after.Pid || after.Pid != c.Pid || after.Status != "running" || !before.Created.Equal(after.Created) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	e := only(t, c.Recovered(1))
	if e.Kind != "operator" || e.Code != 11 || e.Message != "answers are wrong" {
		t.Errorf("episode %+v", e)
	}
	rt.Do("kill", c.ID, "USR1")
	c.Says("told level 1 kind 1 code 7", 1)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
	rt.Refused(1, "container not running", "fail", c.ID)
}

// A signal that the operator sent is no failure.
func TestAKilledProgramIsNotRolledBack(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	for signal, want := range map[string]int{"KILL": 137, "SEGV": 139, "ABRT": 134} {
		c := rt.Start(behave(rt, "serve"))
		c.Says("ready", 1)
		rt.Do("kill", c.ID, signal)
		c.Exits(want)
		c.Delete()
	}
}

// Commands that come during a recovery are honoured by the copy.
func TestCommandsDuringARecovery(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond, 180 * time.Millisecond, 250 * time.Millisecond} {
		c := rt.Start(behave(rt, "serve").Recover("grace", "0s"))
		c.Says("ready", 1)
		failed := failSoon(rt, c)
		harness.Until(t, 5*time.Second, "a moment", elapsed(after))
		rt.Do("pause", c.ID)
		if s := c.State().Status; s != "paused" {
			t.Errorf("after %v: paused, status is %s", after, s)
		}
		// The pause may have been the first to come.
		came := (<-failed).Code == 0
		rt.Do("resume", c.ID)
		if came {
			c.Says("told level", 1)
		}

		failed = failSoon(rt, c)
		harness.Until(t, 5*time.Second, "a moment", elapsed(after))
		rt.Do("kill", c.ID, "TERM")
		c.Exits(0)
		c.Says("bye", 1)
		<-failed
		c.Delete()

		c = rt.Start(behave(rt, "serve"))
		c.Says("ready", 1)
		failed = failSoon(rt, c)
		harness.Until(t, 5*time.Second, "a moment", elapsed(after))
		c.Delete("--force")
		<-failed
		rt.CheckLeaks()
	}
}

// failSoon declares a failure without waiting for its outcome.
func failSoon(rt *harness.Runtime, c *harness.Container) <-chan harness.Result {
	done := make(chan harness.Result, 1)
	go func() { done <- rt.Try("fail", c.ID) }()
	return done
}

// A process of exec doesn't survive a rollback, and exec works afterwards.
func TestExecAcrossARollback(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(rt.Shell("echo up; while :; do sleep 0.1; done").Recover("interval", "200ms"))
	c.Says("up", 1)
	c.HasCheckpoints(2)
	running := make(chan harness.Result, 1)
	go func() { running <- rt.Try("exec", c.ID, "/bin/sh", "-c", "echo here; sleep 1000") }()
	harness.Until(t, 10*time.Second, "the program that exec runs", func() (bool, string) {
		out := rt.Try("exec", c.ID, "/bin/ps").Stdout
		return strings.Contains(out, "sleep 1000"), out
	})
	rt.Do("fail", c.ID)
	if r := <-running; r.Code != 137 {
		t.Errorf("the process of exec ended with %v", r)
	}
	if r := rt.Try("exec", c.ID, "/bin/echo", "again"); r.Stdout != "again\n" {
		t.Errorf("%v", r)
	}
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}

func TestRecordsAreReadableAfterTheEnd(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "segv"))
	c.Exits(0)
	if out := rt.Do("episodes", "list", c.ID); !strings.Contains(out, "recovered") {
		t.Errorf("list: %s", out)
	}
	if out := rt.Do("episodes", "show", c.ID); !strings.Contains(out, "signal 11") || !strings.Contains(out, "level 1") {
		t.Errorf("show: %s", out)
	}
	c.Delete()
	rt.Refused(1, "container does not exist", "episodes", "list", c.ID)
}
