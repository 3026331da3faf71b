package runc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"

	"runsc-recover/test/harness"
)

// collect reads events until the stream ends, which it must in time. That
// go-runc closed the pipe before it read the end is an end as well: it repeats
// the error for ever.
func collect(t *testing.T, events <-chan *runc.Event) map[string]int {
	t.Helper()
	n := map[string]int{}
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok || errors.Is(e.Err, os.ErrClosed) {
				return n
			}
			n[e.Type]++
		case <-timeout:
			t.Fatalf("the stream goes on; so far %v", n)
		}
	}
}

// The stream goes on through a rollback and ends with the container, however
// that ends.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*container) error{
		"killed":             func(ct *container) error { return ct.Runc.Kill(ct.ctx, ct.id, int(syscall.SIGKILL), nil) },
		"deleted":            func(ct *container) error { return ct.Runc.Delete(ct.ctx, ct.id, &runc.DeleteOpts{Force: true}) },
		"supervisor is gone": func(ct *container) error { return syscall.Kill(ct.pid, syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, runc.JSON)
			ct := c.start(c.Shell(serve))
			ct.out.says("ready", 1)
			events, err := c.Runc.Events(c.ctx, ct.id, time.Second)
			c.must(err)
			first := <-events
			if first.Type != "stats" || first.ID != ct.id || first.Stats == nil || first.Stats.Pids.Current == 0 {
				t.Errorf("first event %+v", first)
			}
			ct.rollBack()
			if e := <-events; e.Type != "stats" {
				t.Errorf("after a rollback: %+v", e)
			}
			c.must(end(ct))
			if n := collect(t, events); n["error"] > 0 || n["oom"] > 0 {
				t.Errorf("events %v", n)
			}
		})
	}
}

// The kernel's kill for want of memory is an event of its own, and a failure
// of its own kind, of which the copy is told.
func TestOOMIsToldFromACrash(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(withMemory(c, c.Shell(`echo ready; trap 'dd if=/dev/zero of=/tmp/fill bs=1M count=512' USR1; while :; do sleep 0.05; done`), 128<<20))
	ct.out.says("ready", 1)
	ct.Do("checkpoint", "--into-store", ct.id) // so that the stream goes on
	events, err := c.Runc.Events(c.ctx, ct.id, time.Second)
	c.must(err)
	<-events
	c.must(c.Runc.Kill(c.ctx, ct.id, int(syscall.SIGUSR1), nil))
	harness.Until(t, 30*time.Second, "episode", func() (bool, string) {
		episodes := harness.JSON[[]harness.Episode](c.Runtime, "episodes", "show", "--format", "json", ct.id)
		return len(episodes) > 0 && episodes[0].Kind == "out of memory", fmt.Sprint(episodes)
	})
	for e := range events {
		if e.Err != nil {
			t.Fatalf("no event: %v", e.Err)
		}
		if e.Type == "oom" {
			break
		}
	}
	c.must(c.Runc.Delete(c.ctx, ct.id, &runc.DeleteOpts{Force: true}))
	collect(t, events)
}
