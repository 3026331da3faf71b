package engine

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/test/expect"
)

// TestProgramFindsItsMemory changes the limit before a rollback: the copy must
// find the new one.
func TestProgramFindsItsMemory(t *testing.T) {
	scenario(t, func(t *testing.T) {
		cg := &fakeCgroup{}
		w := newWorld(t, func(o *Options) { o.Memory = cg.Memory })
		cg.limit.Store(64 << 20)
		w.start()
		w.run(1500 * time.Millisecond)
		cg.limit.Store(80 << 20)
		expect.Equal(t, "update", w.engine.MemoryChanged(t.Context()), nil)
		w.gen(1).fail(boom())
		synctest.Wait()
		var sizes []string
		for _, line := range w.did() {
			if strings.Contains(line, "MiB") {
				sizes = append(sizes, line)
			}
		}
		expect.Equal(t, "sizes", strings.Join(sizes, ", "), "1 has 64 MiB, 1 has 80 MiB, 2 has 80 MiB")
		w.end()
	})
}

// fakeCgroup keeps its memory limit, and says that so much is used of it.
type fakeCgroup struct {
	limit, used atomic.Uint64
}

func (c *fakeCgroup) Memory() (schedule.Memory, error) {
	return schedule.Memory{Used: c.used.Load(), Limit: c.limit.Load()}, nil
}

// TestProgramNeedsTheRoom: a program that grows to its limit finds all of it,
// and is protected again when it has become smaller.
func TestProgramNeedsTheRoom(t *testing.T) {
	scenario(t, func(t *testing.T) {
		cg := &fakeCgroup{}
		cg.limit.Store(512 << 20)
		w := started(t, warm, func(o *Options) { o.Memory = cg.Memory })
		w.run(1500 * time.Millisecond)
		expect.Equal(t, "standby", w.state().Standby.Kind, config.StandbyWarm)
		if len(w.kept()) < 2 {
			t.Fatalf("checkpoints %v", w.kept())
		}
		cg.used.Store(500 << 20)
		w.run(200 * time.Millisecond)
		expect.Equal(t, "checkpoints", len(w.kept()), 0)
		expect.Equal(t, "standby", w.state().Standby.Kind, config.StandbyCold)
		expect.Equal(t, "problem", w.state().CheckpointError, "the program needs the memory that its checkpoints took, and there is no room for another")
		w.run(10 * time.Second)
		expect.Equal(t, "checkpoints later", len(w.kept()), 0)
		cg.used.Store(100 << 20)
		w.run(60 * time.Second)
		if len(w.kept()) == 0 {
			t.Errorf("none is taken when there is room again: %q", w.state().CheckpointError)
		}
		w.end()
	})
}

// TestRecoveryNeedsTheRoom: the checkpoint that a recovery goes back to stays.
func TestRecoveryNeedsTheRoom(t *testing.T) {
	scenario(t, func(t *testing.T) {
		cg := &fakeCgroup{}
		cg.limit.Store(512 << 20)
		w := newWorld(t, func(o *Options) { o.Memory = cg.Memory })
		w.restoresTake(time.Second)
		w.start()
		w.run(1500 * time.Millisecond)
		newest := w.state().LastCheckpoint
		w.gen(1).fail(boom())
		cg.used.Store(500 << 20)
		w.run(500 * time.Millisecond)
		kept := w.kept()
		if len(kept) != 1 || kept[0].Seq != newest {
			t.Errorf("kept %v, want %d alone", kept, newest)
		}
		w.run(time.Second)
		expect.Equal(t, "restored", w.gen(2).restored, newest)
		expect.Equal(t, "kept when the copy has all of it", len(w.kept()), 0)
		w.end()
	})
}

func TestUsableMemory(t *testing.T) {
	expect.Equal(t, "no limit", usableMemory(0, 8), 8)
	expect.Equal(t, "limit", usableMemory(3, 8), 3)
	expect.Equal(t, "limit beyond the host's memory", usableMemory(9, 8), 8)
}
