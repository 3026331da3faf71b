package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/test/harness"
)

// lasting makes a container that counts, and keeps its checkpoints on disk.
func lasting(rt *harness.Runtime) *harness.Bundle {
	return behave(rt, "serve").Recover("durability", "disk").Recover("grace", "100ms").Recover("interval", "24h")
}

// The supervisor dies: its checkpoints can be looked at, the container is
// brought back from the newest, is told, and is protected again.
func TestAContainerIsBroughtBack(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(lasting(rt))
	c.Says("ready", 1)
	rt.Do("checkpoint", "--into-store", c.ID)
	for round := 1; round <= 2; round++ {
		last := newest(c)
		c.Dies()
		if got := newest(c); got != last {
			t.Errorf("newest is %d, was %d", got, last)
		}
		rt.Do("checkpoints", "verify", c.ID, fmt.Sprint(last))
		if text := rt.Do("checkpoints", "inspect", c.ID, fmt.Sprint(last)); !strings.Contains(text, "PAUSE") {
			t.Errorf("inspect: %s", text)
		}
		c.Back()
		c.Says("told level 1 kind 2 code 0", round)
		episodes := c.Recovered(2*round - 1)
		back := episodes[len(episodes)-1]
		if back.Signal != 9 || back.Attempts[0].CheckpointSeq != last || !strings.Contains(back.Message, "brought back") {
			t.Errorf("the record: %+v", back)
		}
		rt.Do("checkpoint", "--into-store", c.ID)
		if newest(c) <= last {
			t.Errorf("checkpoint %d after %d", newest(c), last)
		}
		rt.Do("kill", c.ID, "USR1")
		c.Says("told level 1 kind 1 code 7", round)
		c.Recovered(2 * round)
	}
	if n := strings.Count(c.Output(), "ready"); n != 1 {
		t.Errorf("the program began %d times", n)
	}
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// The host goes down: state and processes are gone, and the store isn't.
func TestAContainerOutlivesItsHost(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := lasting(rt)
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	rt.Do("checkpoint", "--into-store", c.ID)
	c.Dies()
	saved := store + "-saved"
	if err := os.Rename(store, saved); err != nil {
		t.Fatal(err)
	}
	rt.Do("delete", "--force", c.ID)
	if err := c.TryBack("--bundle", b.Dir); err == nil || !strings.Contains(c.Output(), "container does not exist") {
		t.Errorf("brought back without a store: %v", err)
	}
	if err := os.Rename(saved, store); err != nil {
		t.Fatal(err)
	}
	c.Back("--bundle", b.Dir)
	c.Says("told level 1 kind 2 code 0", 1)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
	rt.Do("delete", c.ID)
	if left, _ := filepath.Glob(filepath.Join(store, "*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// Checkpoints that can't be used are passed over; when none can, all stays as
// it is.
func TestBroughtBackFromSoundCheckpoints(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := lasting(rt)
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	first := newest(c)
	rt.Do("checkpoint", "--into-store", c.ID)
	rt.Refused(1, "only one that has stopped", "restore", "--from-store", "--detach", c.ID)
	rt.Refused(1, "exclude each other", "restore", "--from-store", "--image-path", "/tmp", c.ID)
	c.Dies()
	damage(t, checkpointFiles(t, store)[0])
	if err := c.TryBack("--checkpoint", "99"); err == nil || !strings.Contains(c.Output(), "no such checkpoint") {
		t.Errorf("brought back from a checkpoint that isn't there: %v", err)
	}
	c.Back()
	c.Says("told level 1 kind 2 code 0", 1)
	episodes := c.Episodes()
	attempts := episodes[len(episodes)-1].Attempts
	if got := attempts[len(attempts)-1].CheckpointSeq; got != first {
		t.Errorf("went on from %d, not %d", got, first)
	}
	c.Recovered(1)
	c.Dies()
	for _, cp := range c.Checkpoints() {
		damage(t, filepath.Join(store, c.ID, fmt.Sprintf("%020d", cp.Seq), "checkpoint.img"))
	}
	if err := c.TryBack(); err == nil {
		t.Error("brought back from damaged checkpoints")
	}
	c.Reaches("stopped")
	if len(c.Checkpoints()) == 0 {
		t.Error("the checkpoints are gone")
	}
}

// A container whose checkpoints were never on disk can't be brought back.
func TestNothingToBringBack(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve"))
	c.Says("ready", 1)
	c.Dies()
	rt.Refused(1, "container not running", "checkpoints", "list", c.ID)
	rt.Refused(1, "not kept on disk", "restore", "--from-store", "--detach", c.ID)
	c.Reaches("stopped")
}
