package runc

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/harness"
)

// Engines call two commands at once. Whatever the order in which the two get
// there, each works or is refused with runc's words for the state that the other
// made, neither hangs, the container is usable after it unless one of them ended
// it, and delete --force leaves nothing.

// raceTime bounds a pair, which takes a second or two.
const raceTime = 40 * time.Second

// act is one call of a pair.
type act struct {
	name string
	call func(*container) error
	// may are the texts of the refusals that are right beside success.
	may []string
	// ends is set when there is no container to use after it.
	ends bool
}

const (
	missing    = "container does not exist"
	notRunning = "container not running"
)

func start() act {
	return act{name: "start", may: []string{missing, notRunning, "cannot start"}, call: func(ct *container) error { return ct.Runc.Start(ct.ctx, ct.id) }}
}

func deleteForce() act {
	return act{name: "delete --force", ends: true, call: func(ct *container) error {
		return ct.Runc.Delete(ct.ctx, ct.id, &runc.DeleteOpts{Force: true})
	}}
}

func deletePlain() act {
	return act{name: "delete", ends: true, may: []string{missing, "that is not stopped"}, call: func(ct *container) error {
		return ct.Runc.Delete(ct.ctx, ct.id, nil)
	}}
}

func killed() act {
	return act{name: "kill", ends: true, may: []string{missing, notRunning}, call: func(ct *container) error {
		return ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGKILL), nil)
	}}
}

func signalled() act {
	return act{name: "kill USR1", may: []string{missing, notRunning}, call: func(ct *container) error {
		return ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGUSR1), nil)
	}}
}

func paused() act {
	return act{name: "pause", may: []string{missing, notRunning, "container paused"}, call: func(ct *container) error { return ct.Runc.Pause(ct.ctx, ct.id) }}
}

func resumed() act {
	return act{name: "resume", may: []string{missing, notRunning, "container not paused"}, call: func(ct *container) error { return ct.Runc.Resume(ct.ctx, ct.id) }}
}

// execed runs a process. It may go down with its sandbox, and ends with the status
// that a command of ours has when there is no sandbox to run it in.
func execed() act {
	return act{name: "exec", call: func(ct *container) error {
		_, err := ct.exec("exit 3")
		var exit *runc.ExitError
		if errors.As(err, &exit) && slices.Contains([]int{3, 137, 255}, exit.Status) {
			return nil
		}
		return fmt.Errorf("exec ended with %w", err)
	}}
}

func imaged(actions ...runc.CheckpointAction) act {
	may := []string{missing, notRunning, "in stopped state", "in created state"}
	return act{name: "checkpoint", may: may, ends: len(actions) == 0, call: func(ct *container) error {
		dir := filepath.Join(ct.Dir, fmt.Sprintf("image-%d", time.Now().UnixNano()))
		return ct.Runc.Checkpoint(ct.ctx, ct.id, &runc.CheckpointOpts{ImagePath: dir, WorkDir: ct.Dir}, actions...)
	}}
}

// rolledBack is an operator's fail.
func rolledBack() act {
	return act{name: "fail", may: []string{missing, notRunning, "container paused"}, call: func(ct *container) error {
		r := ct.Try("fail", "--message", "test", ct.id)
		if r.Code != 0 {
			return errors.New(r.Stderr)
		}
		return nil
	}}
}

func updated(limit int64) act {
	return act{name: "update", may: []string{missing, notRunning}, call: func(ct *container) error {
		return ct.Runc.Update(ct.ctx, ct.id, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
	}}
}

func stated() act {
	return act{name: "state", may: []string{missing}, call: func(ct *container) error {
		for range 5 {
			s, err := ct.Runc.State(ct.ctx, ct.id)
			if err != nil {
				return err
			}
			if s.ID != ct.id || s.Status == "" || s.Status != "stopped" && s.Pid != ct.pid {
				return fmt.Errorf("state says %+v", s)
			}
		}
		return nil
	}}
}

func listed() act {
	return act{name: "list and ps", may: []string{missing, notRunning}, call: func(ct *container) error {
		if _, err := ct.Runc.List(ct.ctx); err != nil {
			return err
		}
		_, err := ct.Runc.Ps(ct.ctx, ct.id)
		return err
	}}
}

// streamed follows events to their end, which must come.
func streamed() act {
	return act{name: "events", may: []string{missing, notRunning, "is not running"}, call: func(ct *container) error {
		events, err := ct.Runc.Events(ct.ctx, ct.id, time.Second)
		if err != nil {
			return err
		}
		for e := range events {
			if e.Err != nil {
				return nil // the end of the pipe, see collect
			}
		}
		return nil
	}}
}

func createdAgain() act {
	may := []string{"container with given ID already exists", "exit status 1"} // go-runc doesn't read create's output
	return act{name: "create", may: may, call: func(ct *container) error {
		return ct.Runc.Create(ct.ctx, ct.id, ct.dir, &runc.CreateOpts{IO: ct.out})
	}}
}

// pair is two calls at once on a container that was created, or runs.
type pair struct {
	started bool
	a, b    act
	// check names a fault in how the two went together; nil checks nothing.
	check func(ct *container, a, b error) error
}

func races() []pair {
	return []pair{
		{false, start(), start(), exactlyOne},
		{false, start(), deleteForce(), nil},
		{false, start(), killed(), nil},
		{false, deleteForce(), createdAgain(), nil},
		{true, killed(), deleteForce(), nil},
		{true, killed(), deletePlain(), nil},
		{true, paused(), killed(), nil},
		{true, paused(), resumed(), nil},
		{true, paused(), signalled(), nil},
		{true, paused(), paused(), exactlyOne},
		{true, paused(), rolledBack(), nil},
		{true, execed(), killed(), nil},
		{true, execed(), rolledBack(), nil},
		{true, execed(), deleteForce(), nil},
		{true, imaged(runc.LeaveRunning), paused(), nil},
		{true, imaged(runc.LeaveRunning), rolledBack(), nil},
		{true, imaged(), deleteForce(), nil},
		{true, imaged(), killed(), nil},
		{true, updated(300 << 20), rolledBack(), limitHolds},
		{true, updated(300 << 20), deleteForce(), nil},
		{true, rolledBack(), rolledBack(), nil},
		{true, rolledBack(), deleteForce(), nil},
		{true, rolledBack(), killed(), nil},
		{true, stated(), deleteForce(), nil},
		{true, stated(), rolledBack(), nil},
		{false, stated(), start(), nil},
		{true, listed(), deleteForce(), nil},
		{true, deleteForce(), deleteForce(), nil},
		{true, streamed(), deleteForce(), nil},
		{true, streamed(), killed(), nil},
	}
}

func exactlyOne(_ *container, a, b error) error {
	if (a == nil) == (b == nil) {
		return fmt.Errorf("not exactly one worked: %v, %v", a, b)
	}
	return nil
}

func limitHolds(ct *container, _, _ error) error {
	if s := ct.stats(); s.Memory.Usage.Limit != 300<<20 {
		return fmt.Errorf("the limit is %d", s.Memory.Usage.Limit)
	}
	return nil
}

func TestTwoCallsAtOnce(t *testing.T) {
	t.Parallel()
	for _, p := range races() {
		t.Run(p.a.name+" and "+p.b.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, runc.JSON)
			b := withMemory(c, c.Shell(serve), 512<<20)
			// The order in which the two get there is varied.
			for _, lead := range []time.Duration{0, 10 * time.Millisecond, -10 * time.Millisecond} {
				c.race(b, p, lead)
			}
		})
	}
}

// race makes a container and calls both, a ahead by lead.
func (c *client) race(b *harness.Bundle, p pair, lead time.Duration) {
	c.t.Helper()
	ct := c.create(b)
	if p.started {
		c.must(c.Runc.Start(c.ctx, ct.id))
		ct.out.says("ready", 1)
		ct.Do("checkpoint", "--into-store", ct.id)
	}
	a, bb := make(chan error, 1), make(chan error, 1)
	time.AfterFunc(max(-lead, 0), func() { a <- p.a.call(ct) })
	time.AfterFunc(max(lead, 0), func() { bb <- p.b.call(ct) })
	errA, errB := ct.endsIn(p.a, a), ct.endsIn(p.b, bb)
	if p.check != nil {
		if err := p.check(ct, errA, errB); err != nil {
			c.t.Errorf("lead %v: %v", lead, err)
		}
	}
	ct.checkAfterRace(p)
	c.must(c.Runc.Delete(c.ctx, ct.id, &runc.DeleteOpts{Force: true}))
	if _, err := c.Runc.State(c.ctx, ct.id); err == nil || !strings.Contains(err.Error(), missing) {
		c.t.Errorf("state after delete --force: %v", err)
	}
	c.CheckLeaks()
}

// endsIn waits for a call of a pair and checks its answer.
func (ct *container) endsIn(a act, done <-chan error) error {
	ct.t.Helper()
	select {
	case err := <-done:
		if err != nil && !slices.ContainsFunc(a.may, func(text string) bool { return strings.Contains(err.Error(), text) }) {
			ct.t.Errorf("%s: %v", a.name, err)
		}
		return err
	case <-time.After(raceTime):
		ct.t.Fatalf("%s: not over after %v", a.name, raceTime)
		return nil
	}
}

// checkAfterRace uses a container that neither call ends.
func (ct *container) checkAfterRace(p pair) {
	ct.t.Helper()
	if p.a.ends || p.b.ends || !p.started {
		return
	}
	s := ct.state()
	if s.Pid != ct.pid {
		ct.t.Errorf("pid %d became %d", ct.pid, s.Pid)
	}
	if s.Status == "paused" {
		ct.must(ct.Runc.Resume(ct.ctx, ct.id))
	}
	if out, err := ct.exec("echo in"); err != nil || out != "in\n" {
		ct.t.Errorf("exec after it: %v: %q", err, out)
	}
	before := strings.Count(ct.out.text(), "hello")
	ct.must(ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGUSR1), nil))
	ct.out.says("hello", before+1)
}
