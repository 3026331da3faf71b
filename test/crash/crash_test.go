// Package crash kills the runtime's own processes at every moment of a
// container's life and looks at the remains.
package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// busy makes a container that checkpoints all the time, on disk, and that
// fails on SIGUSR1.
func busy(rt *harness.Runtime) *harness.Bundle {
	return rt.Bundle([]string{"/bin/behave", "serve"}, "behave").
		Recover("interval", "30ms").Recover("max-overhead", "100%").Recover("durability", "disk").
		Recover("grace", "50ms").Recover("max-rate", "100000").Recover("max-attempts", "100")
}

// family returns the descendants of a process whose name is that of argv[0].
func family(pid int, name string) []int {
	var found []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(list)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				continue
			}
			argv, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if first, _, _ := strings.Cut(string(argv), "\x00"); filepath.Base(first) == name {
				found = append(found, n)
			}
			found = append(found, family(n, name)...)
		}
	}
	return found
}

// moments are delays that fall into every step of a checkpoint, which takes
// some tens of milliseconds, and of a recovery, which takes some hundreds.
func moments(n int, longest time.Duration) []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for i := range n {
		step := longest / time.Duration(n)
		all = append(all, time.Duration(i)*step+time.Duration(random.Int64N(int64(step))))
	}
	return all
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	harness.Until(t, d+time.Minute, "the moment", func() (bool, string) { return time.Now().After(end), "" })
}

// The supervisor dies: everything of the container dies with it, it is seen as
// stopped, and a forced delete leaves nothing.
func TestTheSupervisorDies(t *testing.T) {
	rt := harness.New(t)
	for _, recovering := range []bool{false, true} {
		for _, at := range moments(10, 400*time.Millisecond) {
			c := rt.Start(busy(rt))
			c.Says("ready", 1)
			if recovering {
				rt.Do("kill", c.ID, "USR1")
			}
			wait(t, at)
			if err := unix.Kill(c.Pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.Exits(137)
			if s := c.State().Status; s != "stopped" {
				t.Errorf("recovering %v, after %v: status %s", recovering, at, s)
			}
			rt.Refused(1, "container not running", "kill", c.ID, "TERM")
			c.Delete("--force")
			rt.CheckLeaks()
		}
	}
}

// A create that is killed, or whose supervisor is, leaves nothing that a forced
// delete doesn't remove.
func TestACreationDies(t *testing.T) {
	rt := harness.New(t)
	for _, supervisor := range []bool{false, true} {
		for _, at := range moments(12, 250*time.Millisecond) {
			killCreation(t, rt, supervisor, at)
		}
	}
}

func killCreation(t *testing.T, rt *harness.Runtime, supervisor bool, at time.Duration) {
	t.Helper()
	b := busy(rt)
	id := rt.NewID()
	cmd := rt.Command(t.Context(), "create", "--bundle", b.Dir, id)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, at)
	victims := []int{cmd.Process.Pid}
	if supervisor {
		victims = family(cmd.Process.Pid, "runsc-recover")
	}
	for _, pid := range victims {
		_ = unix.Kill(pid, unix.SIGKILL) // the process may be over
	}
	err := cmd.Wait()
	if created := rt.Try("state", id).Code == 0; err != nil && supervisor && created {
		t.Errorf("after %v: create failed and left a container", at)
	}
	rt.Do("delete", "--force", id)
	rt.CheckLeaks()
}

// The sandbox or its gofer dies: the container goes on from a checkpoint.
func TestTheSandboxDies(t *testing.T) {
	for _, name := range []string{"runsc-sandbox", "runsc-gofer"} {
		t.Run(name, func(t *testing.T) {
			rt := harness.New(t)
			for _, recovering := range []bool{false, true} {
				for _, at := range moments(8, 400*time.Millisecond) {
					killOne(t, rt, name, recovering, at)
				}
			}
		})
	}
}

func killOne(t *testing.T, rt *harness.Runtime, name string, recovering bool, at time.Duration) {
	t.Helper()
	c := rt.Start(busy(rt))
	c.Says("ready", 1)
	c.HasCheckpoints(1)
	if recovering {
		rt.Do("kill", c.ID, "USR1")
	}
	wait(t, at)
	victims := family(c.Pid, name)
	if len(victims) == 0 && !recovering {
		t.Fatalf("%d has no %s", c.Pid, name)
	}
	for _, pid := range victims {
		_ = unix.Kill(pid, unix.SIGKILL) // the sandbox may have been replaced meanwhile
	}
	asks := strings.Count(c.Output(), "told level")
	rt.Do("fail", c.ID)
	c.Says("told level", asks+1)
	c.Delete("--force")
	rt.CheckLeaks()
}
