package engine

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// TestASlowDiskHoldsNobody: while state and records wait for the disk, a program is
// recovered, and the process knows its sandboxes.
func TestASlowDiskHoldsNobody(t *testing.T) {
	scenario(t, func(t *testing.T) {
		disk := make(chan struct{})
		close(disk)
		var slow atomic.Pointer[chan struct{}]
		slow.Store(&disk)
		var latest atomic.Pointer[Snapshot]
		w := started(t, func(o *Options) {
			o.Saved = func(Snapshot) { <-*slow.Load() }
			o.Changed = func(s Snapshot) { latest.Store(&s) }
		})
		w.run(time.Second)
		stuck := make(chan struct{})
		slow.Store(&stuck)
		w.gen(1).fail(failure.State{Kind: failure.Reported, Key: 1})
		w.run(time.Second)
		expect.Equal(t, "copies released", len(w.gen(2).told), 1)
		expect.Equal(t, "sandboxes known", len(latest.Load().Generations), 1)
		expect.Equal(t, "the copy's number", latest.Load().Generations[0].Number, 2)
		close(stuck)
		w.end()
	})
}

// TestRecordsAreSavedOnceTheyCanBe: those that could not be are written with the next
// change.
func TestRecordsAreSavedOnceTheyCanBe(t *testing.T) {
	scenario(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "full")
		w := started(t, func(o *Options) { o.EpisodesFile = filepath.Join(dir, "episodes.json") })
		w.run(time.Second)
		w.gen(1).fail(failure.State{Kind: failure.Reported, Key: 1})
		w.run(time.Second)
		expect.Equal(t, "saved at first", len(w.episodes()), 0)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "pause", w.engine.Pause(t.Context()), nil)
		synctest.Wait()
		expect.Equal(t, "saved then", len(w.episodes()), 1)
		w.end()
	})
}
